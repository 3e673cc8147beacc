"""Conversation: greetings, courtesy, and questions about the model itself."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

from ..tables import read_table
from .base import Entry, EntrySkill, Language


def _entries(skill: str, alike: str = "") -> list[Entry]:
    """The entries of a skill; in its table bars separate phrasings, and `{alike}` is a model of the same layout."""
    rows = (row for of, *row in read_table("talk") if of == skill)
    return [
        Entry(name, zh.split("|"), zh_answer.format(alike=alike), en.split("|"), en_answer.format(alike=alike))
        for name, zh, zh_answer, en, en_answer in rows
    ]


class _SmallTalk(EntrySkill):
    """Phrases that nobody opens with "Please"; only their marks vary."""

    def typed(self, rng: Random, phrasing: str, language: Language) -> str:
        mark = rng.random()
        question = phrasing
        if mark < 0.3:
            question = phrasing.rstrip("？?。.！!")
        elif mark < 0.4 and language == "zh":
            question = phrasing.replace("？", "?").replace("！", "!").replace("，", ",")
        elif mark < 0.5 and phrasing.endswith(("！", "!")):
            question = phrasing[:-1] + ("。" if language == "zh" else ".")
        if language == "en" and phrasing[:2] != "I " and rng.random() < 0.2:
            question = question[0].lower() + question[1:]
        return question


class Greeting(_SmallTalk):
    """Returns a greeting in its own style."""

    name = "greeting"
    weight = 0.7
    salt = "2"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "打招呼", "en": "Greetings"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "你好！", "en": "Hello!"}
    entries = _entries("greeting")


class Courtesy(_SmallTalk):
    """Answers thanks, goodbyes, praise and blame."""

    name = "courtesy"
    weight = 0.8
    salt = "162"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "礼貌用语", "en": "Courtesy"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "谢谢您！", "en": "Thank you!"}
    entries = _entries("courtesy")


class SelfIntroduction(EntrySkill):
    """Describes this model, its abilities and its limits. `alike` is the published model with the same layout."""

    name = "self"
    weight = 1.2
    salt = "9300"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "自我介绍", "en": "About the model"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "你会做什么？", "en": "What can you do?"}

    def __init__(self, alike: str = "ChatGLM-6B") -> None:
        self.entries = _entries("self", alike)
