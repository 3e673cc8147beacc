"""Countries: their capitals and continents."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import Language
from .lookup import Fact, FactKind, FactSkill, sentence


class Country(NamedTuple):
    """A country; its English name has an article if it needs one."""

    zh: str
    en: str
    capital_zh: str
    capital_en: str
    continent_zh: str  # continent of the capital, for a country on two continents
    continent_en: str


COUNTRIES: tuple[Country, ...] = tuple(Country(*row) for row in read_table("countries"))


class Capitals(FactSkill):
    """Names the capital of a country, the country of a capital and the continent of a country."""

    name = "capitals"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "首都和大洲", "en": "Capitals and continents"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "法国的首都是哪里？",
        "en": "Which city is the capital of France?",
    }
    weight = 3.5
    salt = "1"
    fact_kinds = (
        FactKind(
            "capital",
            0.45,
            {
                "zh": [Fact(c.en, (c.zh,), f"{c.zh}的首都是{c.capital_zh}。") for c in COUNTRIES],
                "en": [Fact(c.en, (c.en,), f"The capital of {c.en} is {c.capital_en}.") for c in COUNTRIES],
            },
            {
                "zh": (
                    "{}的首都是哪里？",
                    "{}的首都是什么？",
                    "{}的首都是哪个城市？",
                    "{}的首都是什么城市？",
                    "{}的首都叫什么？",
                    "{}的首都叫什么名字？",
                    "{}的首都在哪里？",
                    "{}首都是哪里？",
                    "哪个城市是{}的首都？",
                    "什么城市是{}的首都？",
                    "你知道{}的首都是哪里吗？",
                    "你知道{}的首都在哪里吗？",
                    "你知道{}的首都叫什么吗？",
                    "你知道{}的首都叫什么名字吗？",
                    "你知道哪个城市是{}的首都吗？",
                    "{}的首都城市叫什么名字？",
                ),
                "en": (
                    "What is the capital of {}?",
                    "What is the capital city of {}?",
                    "Which is the capital city of {}?",
                    "Which city is the capital of {}?",
                    "What city is the capital of {}?",
                    "The capital of {} is which city?",
                    "The capital city of {}?",
                    "The capital of {}?",
                    "Which capital does {} have?",
                    "What capital does {} have?",
                    "What capital city does {} have?",
                    "Do you know the capital of {}?",
                    "Do you know what the capital of {} is?",
                    "Do you know which city is the capital of {}?",
                ),
            },
        ),
        FactKind(
            "country",
            0.3,
            {
                "zh": [Fact(c.en, (c.capital_zh,), f"{c.capital_zh}是{c.zh}的首都。") for c in COUNTRIES],
                "en": [Fact(c.en, (c.capital_en,), f"{c.capital_en} is the capital of {c.en}.") for c in COUNTRIES],
            },
            {
                "zh": (
                    "{}是哪个国家的首都？",
                    "{}是什么国家的首都？",
                    "{}是哪国的首都？",
                    "{}这个城市是哪个国家的首都？",
                    "{}这个城市是哪国的首都？",
                    "哪个国家的首都是{}？",
                    "什么国家的首都是{}？",
                    "哪国的首都是{}？",
                    "首都是{}的是哪个国家？",
                    "首都是{}的国家是哪个？",
                    "你知道{}是哪个国家的首都吗？",
                    "你知道{}是哪国的首都吗？",
                    "你知道哪个国家的首都是{}吗？",
                ),
                "en": (
                    "Which country has the capital {}?",
                    "What country has the capital {}?",
                    "Which country has {} as its capital?",
                    "What country has {} as its capital?",
                    "Which country is {} the capital of?",
                    "What country is {} the capital of?",
                    "Of which country is {} the capital?",
                    "The capital of which country is {}?",
                    "The city of {} is the capital of which country?",
                    "Which country has the city of {} as its capital?",
                    "Do you know which country {} is the capital of?",
                    "Do you know which country has {} as its capital?",
                    "Do you know what country has the capital {}?",
                ),
            },
        ),
        FactKind(
            "continent",
            0.25,
            {
                "zh": [Fact(c.en, (c.zh,), f"{c.zh}在{c.continent_zh}。") for c in COUNTRIES],
                "en": [Fact(c.en, (c.en,), sentence(f"{c.en} is in {c.continent_en}.")) for c in COUNTRIES],
            },
            {
                "zh": (
                    "{}在哪个洲？",
                    "{}在哪个大洲？",
                    "{}在什么洲？",
                    "{}属于哪个洲？",
                    "{}属于哪个大洲？",
                    "{}属于什么洲？",
                    "{}是哪个洲的国家？",
                    "{}是哪个大洲的国家？",
                    "{}这个国家在哪个洲？",
                    "{}这个国家属于哪个大洲？",
                    "你知道{}在哪个大洲吗？",
                    "你知道{}属于哪个洲吗？",
                ),
                "en": (
                    "Which continent is {} in?",
                    "What continent is {} in?",
                    "In which continent is {}?",
                    "On which continent is {}?",
                    "Which continent is {} on?",
                    "What continent is {} on?",
                    "Which continent does {} belong to?",
                    "What continent does {} belong to?",
                    "To which continent does {} belong?",
                    "Do you know which continent {} is in?",
                    "Do you know what continent {} is in?",
                    "Do you know on which continent {} is?",
                ),
            },
        ),
    )
