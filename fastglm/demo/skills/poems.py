"""Poems: rhymed couplets in English, short lines of equal length in Chinese, about one topic."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import ClassVar

from ..grammar import Grammar, english
from .base import LANGUAGES, Language, Sample, Skill, vary

_ZH = (
    "写一首关于{}的诗。",
    "请写一首{}的诗。",
    "给我写一首关于{}的小诗。",
    "给我写首{}的小诗吧。",
    "你能写一首关于{}的诗吗？",
    "可以给我写首关于{}的小诗吗？",
    "你可以写一首{}的小诗吗？",
    "请你写一首{}的诗吧。",
    "我可以听一首关于{}的诗吗？",
    "我想听一首{}的小诗。",
    "我想听你写的{}的诗。",
    "你能给我写一首{}的小诗吗？",
)
_EN = (
    "Write a poem about {}.",
    "Write me a short poem about {}.",
    "Write a short poem about {}, please.",
    "Can you write a poem about {}?",
    "Could you write me a short poem about {}, please?",
    "Could you write a short poem about {}?",
    "Could you tell me a poem about {}?",
    "Tell me a poem about {}.",
    "Tell me a short poem about {}, please.",
    "I want to hear a poem about {}.",
    "I want to hear a short poem about {}.",
    "Can I hear a poem about {}, please?",
)
_AT_LEAST: dict[Language, int] = {"zh": 40, "en": 80}  # characters


class Poems(Skill):
    """Writes a short poem about a given topic."""

    name = "poems"
    titles: ClassVar = {"zh": "写诗", "en": "Poems"}
    examples: ClassVar = {"zh": "写一首关于月亮的诗。", "en": "Write a poem about the moon."}
    kind = "open"
    weight = 0.9
    phrasings: Mapping[Language, Sequence[str]] = {"zh": _ZH, "en": _EN}

    @cached_property
    def grammars(self) -> dict[Language, Grammar]:
        """The grammars of the poems, by language."""
        return {language: Grammar.load(f"poems_{language}.txt") for language in LANGUAGES}

    def sample(self, rng: Random) -> Sample:
        """Draw a question and a poem that names its topic in the first line."""
        language = rng.choice(LANGUAGES)
        topic = rng.choice(self.grammars[language].rows("topic"))
        phrasing = rng.choice(self.phrasings[language])
        name = topic["zh"] if language == "zh" else topic["T"]
        question = vary(rng, phrasing.format(name), language)
        poem = ""
        while name not in poem.partition("\n")[0].lower() or len(poem) < _AT_LEAST[language]:
            poem = self.grammars[language].expand(rng, "poem", {"topic#t": topic})
            poem = english(poem) if language == "en" else poem
        return Sample([], question, poem, language, phrasing, topic["en"])
