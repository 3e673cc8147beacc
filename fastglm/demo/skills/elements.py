"""Chemical elements: their symbols and atomic numbers."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import Language
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
            {
                "zh": (
                    "{}的元素符号是什么？",
                    "{}的化学符号是什么？",
                    "{}的符号是什么？",
                    "{}元素的符号是什么？",
                    "{}用什么化学符号表示？",
                    "元素{}的符号是什么？",
                    "化学元素{}的符号是什么？",
                    "{}用什么符号表示？",
                    "{}用什么元素符号表示？",
                    "{}元素用什么符号表示？",
                    "什么符号表示{}元素？",
                    "你知道{}的元素符号吗？",
                    "你知道{}的化学符号是什么吗？",
                ),
                "en": (
                    "What is the symbol of {}?",
                    "What is the symbol for {}?",
                    "What is the chemical symbol of {}?",
                    "What is the chemical symbol for {}?",
                    "What is the symbol of the element {}?",
                    "What is the symbol for the element {}?",
                    "What is the chemical symbol of the element {}?",
                    "Which symbol does {} have?",
                    "Which chemical symbol does {} have?",
                    "Which symbol stands for {}?",
                    "What symbol stands for {}?",
                    "Which chemical symbol stands for {}?",
                    "Do you know the symbol of {}?",
                    "Do you know the chemical symbol for {}?",
                ),
            },
        ),
        FactKind(
            "element",
            0.3,
            {
                "zh": [Fact(e.en, (e.symbol,), f"{e.symbol}是{e.zh}的元素符号。") for e in ELEMENTS],
                "en": [Fact(e.en, (e.symbol,), f"{e.symbol} is the symbol of {e.en}.") for e in ELEMENTS],
            },
            {
                "zh": (
                    "{}是什么元素？",
                    "{}是哪个元素？",
                    "{}是什么元素的符号？",
                    "{}是哪个元素的符号？",
                    "{}是哪个元素的化学符号？",
                    "{}表示什么元素？",
                    "{}表示哪个元素？",
                    "符号{}表示什么元素？",
                    "化学符号{}表示哪个元素？",
                    "哪个元素的符号是{}？",
                    "什么元素的化学符号是{}？",
                    "你知道{}是什么元素吗？",
                    "你知道{}是哪个元素的符号吗？",
                ),
                "en": (
                    "Which element is {}?",
                    "What element is {}?",
                    "Which element has the symbol {}?",
                    "What element has the symbol {}?",
                    "Which element has the chemical symbol {}?",
                    "Which element is {} the symbol of?",
                    "Which element is {} the chemical symbol for?",
                    "What does the symbol {} stand for?",
                    "What element does {} stand for?",
                    "Which element does {} stand for?",
                    "Which element does the symbol {} stand for?",
                    "Do you know which element has the symbol {}?",
                    "Do you know which element {} is the symbol of?",
                ),
            },
        ),
        FactKind(
            "atomic number",
            0.3,
            {
                "zh": [Fact(e.en, (e.zh,), f"{e.zh}的原子序数是{e.number}。") for e in ELEMENTS],
                "en": [Fact(e.en, (e.en,), f"The atomic number of {e.en} is {e.number}.") for e in ELEMENTS],
            },
            {
                "zh": (
                    "{}的原子序数是多少？",
                    "{}的原子序数是几？",
                    "{}元素的原子序数是多少？",
                    "元素{}的原子序数是多少？",
                    "元素{}的原子序数是几？",
                    "{}是几号元素？",
                    "{}是第几号元素？",
                    "{}元素是第几号元素？",
                    "{}在元素周期表里是第几号？",
                    "{}在周期表里是几号元素？",
                    "{}在周期表里是第几号元素？",
                    "你知道{}的原子序数是多少吗？",
                    "你知道{}是第几号元素吗？",
                ),
                "en": (
                    "What is the atomic number of {}?",
                    "What is the atomic number of the element {}?",
                    "What atomic number does {} have?",
                    "What atomic number does the element {} have?",
                    "Which atomic number does {} have?",
                    "Which atomic number does the element {} have?",
                    "What number does {} have in the periodic table?",
                    "Which number does {} have in the periodic table?",
                    "What is the number of {} in the periodic table?",
                    "What number is {} in the periodic table?",
                    "Do you know the atomic number of {}?",
                    "Do you know which atomic number {} has?",
                    "Do you know the number of {} in the periodic table?",
                ),
            },
        ),
    )
