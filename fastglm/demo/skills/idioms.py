"""Idioms and their meanings: Chinese ones explained in Chinese, English ones in English."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar

from ..tables import read_table
from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary


class Idioms(Skill):
    """Explains an idiom in one short sentence."""

    name = "idioms"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "成语", "en": "Idioms"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "画蛇添足是什么意思？", "en": "What does a piece of cake mean?"}
    kind = "lookup"
    weight = 1.5
    phrasings: Mapping[Language, Sequence[str]] = PHRASINGS["idioms"]

    meanings: Mapping[Language, Sequence[tuple[str, str]]] = {
        language: [(idiom, meaning) for idiom, meaning in read_table(f"idioms_{language}")] for language in LANGUAGES
    }

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        idiom, meaning = rng.choice(self.meanings[language])
        phrasing = rng.choice(self.phrasings[language])
        answer = f"{idiom}的意思是{meaning}。" if language == "zh" else f"It means {meaning}."
        return Sample([], vary(rng, phrasing.format(idiom), language), answer, language, phrasing, idiom)
