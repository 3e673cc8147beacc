"""The base of look-up skills: kinds of question, each with its own facts and phrasings."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import ClassVar, NamedTuple

from .base import LANGUAGES, Language, Sample, Skill, vary


class Fact(NamedTuple):
    """One fact, as asked and answered in one language."""

    name: str  # in English if both languages ask for the fact
    slots: tuple[str, ...]  # values for the slots of a phrasing
    answer: str


class FactKind(NamedTuple):
    """A kind of question."""

    name: str
    weight: float  # share of the skill's questions, relative to its other kinds
    facts: Mapping[Language, Sequence[Fact]]
    phrasings: Mapping[Language, Sequence[str]]


class FactSkill(Skill):
    """Knows facts by heart. A fifth of the phrasings of each kind of question is held out."""

    kind = "lookup"
    fact_kinds: ClassVar[Sequence[FactKind]]

    @cached_property
    def phrasings(self) -> Mapping[Language, Sequence[str]]:  # type: ignore[override]
        """The phrasings of all kinds of question."""
        return {
            language: tuple(phrasing for kind in self.fact_kinds for phrasing in kind.phrasings[language])
            for language in LANGUAGES
        }

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings of each kind of question."""
        return (kind.phrasings[language] for kind in self.fact_kinds for language in LANGUAGES)

    def sample(self, rng: Random) -> Sample:
        kind = rng.choices(self.fact_kinds, [kind.weight for kind in self.fact_kinds])[0]
        language = rng.choice(LANGUAGES)
        fact, phrasing = rng.choice(kind.facts[language]), rng.choice(kind.phrasings[language])
        question = vary(rng, phrasing.format(*fact.slots), language)
        return Sample([], question, fact.answer, language, phrasing, f"{fact.name}: {kind.name}")


def sentence(text: str) -> str:
    """Text with a capital at its beginning."""
    return text[0].upper() + text[1:]
