"""Everyday advice: answers of several sentences, so that an answer can be seen streaming."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import LANGUAGES, Language, Sample, Skill, vary


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
    phrasings: Mapping[Language, Sequence[str]] = {
        "zh": (
            "{}应该怎么办？",
            "{}怎么办？",
            "我{}，怎么办？",
            "我{}，应该怎么办？",
            "如果{}，应该怎么办？",
            "我{}，应该怎么做？",
            "如果{}，应该怎么做？",
            "{}有什么好办法？",
            "如果{}，有什么好办法？",
            "怎样才能{wish}？",
            "我怎样才能{wish}？",
            "怎么才能{wish}？",
            "怎样做才能{wish}？",
            "有什么好办法能{wish}？",
        ),
        "en": (
            "{}. What should I do?",
            "{}. What can I do?",
            "{}, what should I do?",
            "{}, what can I do?",
            "What should I do if {}?",
            "What can I do if {}?",
            "If {}, what should I do?",
            "If {}, what can I do?",
            "How can I {wish}?",
            "How do I {wish}?",
            "What should I do to {wish}?",
            "I want to {wish}. What should I do?",
            "I want to {wish}, how can I do it?",
            "If I want to {wish}, what can I do?",
        ),
    }

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
        for phrasings in self.phrasings.values():
            for asks_wish in (False, True):
                yield [phrasing for phrasing in phrasings if ("{wish}" in phrasing) is asks_wish]
