"""The terms of this project, in a sentence or two each: pruning, quantization, distillation and related ones."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import LANGUAGES, Language, Sample, Skill, vary


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
    phrasings: Mapping[Language, Sequence[str]] = {
        "zh": (
            "什么是{term}？",
            "什么叫{term}？",
            "{term}是什么？",
            "{term}是什么意思？",
            "{term}的意思是什么？",
            "{term}是指什么？",
            "{term}指的是什么？",
            "{term}指什么？",
            "解释一下{term}。",
            "解释一下{term}是什么意思。",
            "解释一下什么是{term}。",
            "解释一下什么叫{term}。",
            "说一下{term}的意思。",
            "说一下什么是{term}。",
            "解释一下{term}的意思。",
            "说一下什么叫{term}。",
        ),
        "en": (
            "What is {the_term}?",
            "What does {term} mean?",
            "What does the term {term} mean?",
            "What does this term mean: {term}?",
            "What is the meaning of {term}?",
            "What is the meaning of the term {term}?",
            "Explain {term}.",
            "Explain the term {term}.",
            "Explain this term: {term}.",
            "Explain the term {term} to me.",
            "Explain the meaning of {term} to me.",
            "Explain what {the_term} is.",
            "Explain to me what {the_term} is.",
            "Explain what {term} means.",
            "Can you explain the term {term}?",
            "Can you explain this term: {term}?",
            "Can you explain what {the_term} is?",
            "Can you explain to me what {term} means?",
            "Do you know what {the_term} is?",
            "Do you know what {term} means?",
            "Do you know what the term {term} means?",
        ),
    }

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
