"""Opposites of words."""

from collections.abc import Mapping
from typing import ClassVar

from ..tables import read_table
from .base import PHRASINGS, Language
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
            PHRASINGS["opposites: opposite"],
        ),
    )
