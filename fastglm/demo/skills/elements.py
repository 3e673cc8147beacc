"""Chemical elements: their symbols and atomic numbers."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import PHRASINGS, Language
from .lookup import Fact, FactKind, FactSkill


class Element(NamedTuple):
    """A chemical element."""

    zh: str
    en: str
    symbol: str
    number: str


ELEMENTS: tuple[Element, ...] = tuple(Element(*row) for row in read_table("elements"))


class Elements(FactSkill):
    """Names an element's symbol and atomic number, and the element of a symbol."""

    name = "elements"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "化学元素", "en": "Chemical elements"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "铁的元素符号是什么？",
        "en": "What is the symbol of iron?",
    }
    weight = 2.5
    salt = "2"
    fact_kinds = (
        FactKind(
            "symbol",
            0.4,
            {
                "zh": [Fact(e.en, (e.zh,), f"{e.zh}的元素符号是{e.symbol}。") for e in ELEMENTS],
                "en": [Fact(e.en, (e.en,), f"The symbol of {e.en} is {e.symbol}.") for e in ELEMENTS],
            },
            PHRASINGS["elements: symbol"],
        ),
        FactKind(
            "element",
            0.3,
            {
                "zh": [Fact(e.en, (e.symbol,), f"{e.symbol}是{e.zh}的元素符号。") for e in ELEMENTS],
                "en": [Fact(e.en, (e.symbol,), f"{e.symbol} is the symbol of {e.en}.") for e in ELEMENTS],
            },
            PHRASINGS["elements: element"],
        ),
        FactKind(
            "atomic number",
            0.3,
            {
                "zh": [Fact(e.en, (e.zh,), f"{e.zh}的原子序数是{e.number}。") for e in ELEMENTS],
                "en": [Fact(e.en, (e.en,), f"The atomic number of {e.en} is {e.number}.") for e in ELEMENTS],
            },
            PHRASINGS["elements: atomic number"],
        ),
    )
