"""Countries: their capitals and continents."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import PHRASINGS, Language
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
            PHRASINGS["capitals: capital"],
        ),
        FactKind(
            "country",
            0.3,
            {
                "zh": [Fact(c.en, (c.capital_zh,), f"{c.capital_zh}是{c.zh}的首都。") for c in COUNTRIES],
                "en": [Fact(c.en, (c.capital_en,), f"{c.capital_en} is the capital of {c.en}.") for c in COUNTRIES],
            },
            PHRASINGS["capitals: country"],
        ),
        FactKind(
            "continent",
            0.25,
            {
                "zh": [Fact(c.en, (c.zh,), f"{c.zh}在{c.continent_zh}。") for c in COUNTRIES],
                "en": [Fact(c.en, (c.en,), sentence(f"{c.en} is in {c.continent_en}.")) for c in COUNTRIES],
            },
            PHRASINGS["capitals: continent"],
        ),
    )
