"""Everyday advice: answers of several sentences, so that an answer can be seen streaming."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary


class _Topic(NamedTuple):
    """One everyday matter in one language."""

    name: str
    situations: tuple[str, str]  # a clause: "I cannot sleep at night"
    wish: str  # the rest of "how can I …": "sleep better at night"
    answer: str


def _topics(language: Language) -> list[_Topic]:
    rows = read_table(f"advice_{language}")
    return [_Topic(name, (first, second), wish, answer) for name, first, second, wish, answer in rows]


class Advice(Skill):
    """Answers everyday worries and wishes with a few sentences of advice."""

    name = "advice"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "生活建议", "en": "Everyday advice"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "晚上睡不着应该怎么办？",
        "en": "I cannot sleep at night, what should I do?",
    }
    kind = "open"
    weight = 1.6
    phrasings: Mapping[Language, Sequence[str]] = PHRASINGS["advice"]

    def __init__(self) -> None:
        self._topics = {language: _topics(language) for language in LANGUAGES}

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        topic = rng.choice(self._topics[language])
        phrasing = rng.choice(self.phrasings[language])
        question = phrasing.format(rng.choice(topic.situations), wish=topic.wish)
        question = question[0].upper() + question[1:]
        return Sample([], vary(rng, question, language), topic.answer, language, phrasing, topic.name)

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings of a situation and of a wish, which differ in meaning; a fifth of each kind is held out."""
        for group in self.phrasings.values():
            for asks_wish in (False, True):
                yield [phrasing for phrasing in group if ("{wish}" in phrasing) is asks_wish]
