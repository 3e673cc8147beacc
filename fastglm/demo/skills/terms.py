"""The terms of this project, in a sentence or two each: pruning, quantization, distillation and related ones."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary


class Term(NamedTuple):
    """A term and its explanation in both languages."""

    zh: str
    zh_meaning: str
    en: str  # with its article: "a token"
    en_meaning: str


class Terms(Skill):
    """Explains the terms of language models and of their compression."""

    name = "terms"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "模型术语", "en": "Model terms"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "什么是量化？", "en": "What is pruning?"}
    kind = "lookup"
    weight = 1.3
    phrasings: Mapping[Language, Sequence[str]] = PHRASINGS["terms"]

    entries: Sequence[Term] = [Term(*row) for row in read_table("terms")]

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        entry = rng.choice(self.entries)
        phrasing = rng.choice(self.phrasings[language])
        if language == "zh":
            # A space before "int8" gives it the same tokens as in the answers.
            name = f" {entry.zh}" if entry.zh.isascii() else entry.zh
            question = vary(rng, phrasing.format(term=name), language).strip()
            return Sample([], question, entry.zh_meaning, language, phrasing, entry.zh)
        bare = entry.en.removeprefix("a ").removeprefix("an ").removeprefix("the ")
        question = vary(rng, phrasing.format(term=bare, the_term=entry.en), language)
        return Sample([], question, entry.en_meaning, language, phrasing, entry.zh)
