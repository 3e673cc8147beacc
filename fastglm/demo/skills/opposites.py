"""Opposites of words."""

from collections.abc import Mapping
from typing import ClassVar

from ..tables import read_table
from .base import Language
from .lookup import Fact, FactKind, FactSkill

_ANSWERS: dict[Language, str] = {"zh": "“{}”的反义词是“{}”。", "en": "The opposite of {} is {}."}


def _facts(language: Language) -> list[Fact]:
    return [
        Fact(word, (word,), _ANSWERS[language].format(word, opposite))
        for pair in read_table(f"opposites_{language}")
        for word, opposite in (pair, pair[::-1])
    ]


class Opposites(FactSkill):
    """Names the opposite of a word, in both directions."""

    name = "opposites"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "反义词", "en": "Opposites"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "大的反义词是什么？", "en": "What is the opposite of big?"}
    weight = 3.5
    salt = "2"
    fact_kinds = (
        FactKind(
            "opposite",
            1.0,
            {"zh": _facts("zh"), "en": _facts("en")},
            {
                "zh": (
                    "{}的反义词是什么？",
                    "“{}”的反义词是什么？",
                    "{}的反义词是哪个词？",
                    "“{}”的反义词是哪个词？",
                    "什么词是{}的反义词？",
                    "哪个词是“{}”的反义词？",
                    "和{}相反的词是什么？",
                    "和“{}”相反的词是哪个？",
                    "和“{}”意思相反的词是什么？",
                    "什么词和{}意思相反？",
                    "哪个词和“{}”意思相反？",
                    "{}的反义词？",
                    "你知道{}的反义词吗？",
                    "你知道“{}”的反义词是什么吗？",
                    "你知道哪个词和“{}”相反吗？",
                ),
                "en": (
                    "What is the opposite of {}?",
                    "What is the opposite of the word {}?",
                    "What word is the opposite of {}?",
                    "Which word is the opposite of {}?",
                    "Which word is the opposite of the word {}?",
                    "What word means the opposite of {}?",
                    "Which word means the opposite of {}?",
                    "Which word means the opposite of the word {}?",
                    "The opposite of {} is what?",
                    "The opposite of {} is which word?",
                    "The opposite of {}?",
                    "Do you know the opposite of {}?",
                    "Do you know the opposite of the word {}?",
                    "Do you know what the opposite of {} is?",
                    "Do you know which word means the opposite of {}?",
                ),
            },
        ),
    )
