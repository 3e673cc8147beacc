"""Idioms and their meanings: Chinese ones explained in Chinese, English ones in English."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar

from ..tables import read_table
from .base import LANGUAGES, Language, Sample, Skill, vary


class Idioms(Skill):
    """Explains an idiom in one short sentence."""

    name = "idioms"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "成语", "en": "Idioms"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "画蛇添足是什么意思？", "en": "What does a piece of cake mean?"}
    kind = "lookup"
    weight = 1.5
    phrasings: Mapping[Language, Sequence[str]] = {
        "zh": (
            "{}是什么意思？",
            "成语{}是什么意思？",
            "{}这个成语是什么意思？",
            "{}的意思是什么？",
            "成语{}的意思是什么？",
            "{}这个成语的意思是什么？",
            "{}怎么解释？",
            "成语{}怎么解释？",
            "{}这个成语怎么解释？",
            "解释一下{}。",
            "解释一下成语{}。",
            "解释一下{}这个成语。",
            "说一下{}的意思。",
            "说一下成语{}的意思。",
            "说一下{}这个成语的意思。",
        ),
        "en": (
            "What does {} mean?",
            "What does the idiom {} mean?",
            "What does this idiom mean: {}?",
            "What is the meaning of {}?",
            "What is the meaning of the idiom {}?",
            "What is the meaning of this idiom: {}?",
            "Explain {}.",
            "Explain the idiom {}.",
            "Explain this idiom: {}.",
            "Explain what {} means.",
            "Explain the meaning of {}.",
            "Do you know what {} means?",
            "Do you know what the idiom {} means?",
            "Do you know the meaning of {}?",
        ),
    }

    meanings: Mapping[Language, Sequence[tuple[str, str]]] = {
        language: [(idiom, meaning) for idiom, meaning in read_table(f"idioms_{language}")] for language in LANGUAGES
    }

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        idiom, meaning = rng.choice(self.meanings[language])
        phrasing = rng.choice(self.phrasings[language])
        answer = f"{idiom}的意思是{meaning}。" if language == "zh" else f"It means {meaning}."
        return Sample([], vary(rng, phrasing.format(idiom), language), answer, language, phrasing, idiom)
