"""Stories: a protagonist with a wish or a trouble, a friend who helps, and a lesson."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import ClassVar

from ..grammar import Grammar, english
from .base import LANGUAGES, Language, Sample, Skill, vary

ANYONE = "anyone"  # the operand of a request without a protagonist

_ZH = (
    "讲一个关于{}的故事。",
    "请讲一个{}的故事。",
    "给我讲一个关于{}的故事吧。",
    "给我讲个{}的故事。",
    "你能讲一个关于{}的故事吗？",
    "写一个关于{}的故事。",
    "请给我写一个{}的故事吧。",
    "你能写个{}的故事吗？",
    "我想听一个关于{}的故事。",
    "想听你讲个{}的故事。",
    "讲一个故事。",
    "给我讲个故事吧。",
    "我想听你讲一个故事。",
    "你能写一个故事吗？",
)
_EN = (
    "Tell me a story about {}.",
    "Can you tell me a story about {}?",
    "Tell a short story about {}, please.",
    "Write a story about {}.",
    "Write me a short story about {}.",
    "Can you write a story about {}?",
    "Can you write me a story about {}, please?",
    "I want to hear a story about {}.",
    "I want to hear a short story about {}, please.",
    "Can I hear a story about {}?",
    "Tell me a story.",
    "Can you tell me a short story, please?",
    "I want to hear a story.",
    "Write me a story.",
)
_LENGTHS: dict[Language, tuple[str, range]] = {
    "zh": (r"[\u4e00-\u9fff]", range(90, 161)),
    "en": (r"[\w']+", range(55, 91)),
}


class Stories(Skill):
    """Tells a short story about the requested animal or child, or about any."""

    name = "stories"
    titles: ClassVar = {"zh": "讲故事", "en": "Stories"}
    examples: ClassVar = {"zh": "讲一个关于兔子的故事。", "en": "Tell me a story about a rabbit."}
    kind = "open"
    weight = 1.6
    practice = 1.5
    salt = "2"
    phrasings: Mapping[Language, Sequence[str]] = {"zh": _ZH, "en": _EN}

    @cached_property
    def grammars(self) -> dict[Language, Grammar]:
        """The grammars of the stories, by language."""
        return {language: Grammar.load(f"stories_{language}.txt") for language in LANGUAGES}

    def sample(self, rng: Random) -> Sample:
        """Draw a question and a story about its protagonist."""
        language = rng.choice(LANGUAGES)
        protagonist = rng.choice(self.grammars[language].rows("animal"))
        phrasing = rng.choice(self.phrasings[language])
        asked = english(f"a {protagonist['en']}").lower() if language == "en" else protagonist["zh"]
        question = vary(rng, phrasing.format(asked), language)
        pattern, lengths = _LENGTHS[language]
        story = ""
        while len(re.findall(pattern, story)) not in lengths:
            story = self.grammars[language].expand(rng, "story", {"animal#h": protagonist})
            story = english(story) if language == "en" else story
        return Sample([], question, story, language, phrasing, protagonist["en"] if "{}" in phrasing else ANYONE)
