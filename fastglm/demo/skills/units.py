"""Units: lengths, weights, volumes, times, counts and money in larger and in smaller units."""

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar, NamedTuple

from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary


class Unit(NamedTuple):
    """The names of a unit; Chinese may have two."""

    one: str
    many: str
    zh: Sequence[str]
    symbol: str = ""


class Conversion(NamedTuple):
    """A larger unit in terms of a smaller one, and the largest number that is asked about."""

    large: Unit
    small: Unit
    factor: int
    highest: int = 999
    both_ways: bool = True

    @property
    def decimal(self) -> bool:
        """Tell whether converting only appends zeros."""
        return self.factor in (10, 100, 1000)


_KILOMETRE = Unit("kilometre", "kilometres", ("千米", "公里"), "km")
_METRE = Unit("metre", "metres", ("米",), "m")
_CENTIMETRE = Unit("centimetre", "centimetres", ("厘米",), "cm")
_MILLIMETRE = Unit("millimetre", "millimetres", ("毫米",), "mm")
_TONNE = Unit("tonne", "tonnes", ("吨",), "t")
_KILOGRAM = Unit("kilogram", "kilograms", ("千克", "公斤"), "kg")
_GRAM = Unit("gram", "grams", ("克",), "g")
_LITRE = Unit("litre", "litres", ("升",), "L")
_MILLILITRE = Unit("millilitre", "millilitres", ("毫升",), "mL")
_YEAR = Unit("year", "years", ("年",))
_MONTH = Unit("month", "months", ("个月",))
_WEEK = Unit("week", "weeks", ("周", "个星期"))
_DAY = Unit("day", "days", ("天",))
_HOUR = Unit("hour", "hours", ("小时",))
_MINUTE = Unit("minute", "minutes", ("分钟",))
_SECOND = Unit("second", "seconds", ("秒",))
_DOZEN = Unit("dozen", "dozen", ("打",))
_PIECE = Unit("piece", "pieces", ("个",))
_YUAN = Unit("yuan", "yuan", ("元",))
_JIAO = Unit("jiao", "jiao", ("角",))
_FEN = Unit("fen", "fen", ("分",))
_JIN = Unit("jin", "jin", ("斤",))

CONVERSIONS = (
    Conversion(_KILOMETRE, _METRE, 1000),
    Conversion(_METRE, _CENTIMETRE, 100),
    Conversion(_METRE, _MILLIMETRE, 1000),
    Conversion(_CENTIMETRE, _MILLIMETRE, 10),
    Conversion(_TONNE, _KILOGRAM, 1000),
    Conversion(_KILOGRAM, _GRAM, 1000),
    Conversion(_LITRE, _MILLILITRE, 1000),
    Conversion(_YUAN, _JIAO, 10),
    Conversion(_JIAO, _FEN, 10),
    Conversion(_YUAN, _FEN, 100),
    # Factors that are not decimal have few numbers: a held-out number must follow from its parts or from another pair
    # with this factor.
    Conversion(_HOUR, _MINUTE, 60, highest=29),
    Conversion(_MINUTE, _SECOND, 60, highest=29),
    Conversion(_YEAR, _MONTH, 12, highest=29),
    Conversion(_DOZEN, _PIECE, 12, highest=29),
    Conversion(_DAY, _HOUR, 24, highest=29, both_ways=False),
    Conversion(_WEEK, _DAY, 7, highest=29, both_ways=False),
    Conversion(_JIN, _GRAM, 500, highest=29, both_ways=False),
)


class Units(Skill):
    """Converts a whole number of one unit into another, with steps unless it only appends zeros."""

    name = "units"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "单位换算", "en": "Units"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "5千米是多少米？",
        "en": "How many metres are in 5 kilometres?",
    }
    kind = "rule"
    weight = 2.0
    practice = 2.0
    phrasings: Mapping[Language, Sequence[str]] = PHRASINGS["units"]

    def sample(self, rng: Random) -> Sample:
        conversion = rng.choice(CONVERSIONS)
        large, small, factor, highest, both_ways = conversion
        digits = rng.randint(1, len(str(highest)))
        larger = rng.randint(10 ** (digits - 1), min(10**digits - 1, highest))
        smaller, into_small = larger * factor, not both_ways or rng.random() < 0.5
        given, result = (larger, smaller) if into_small else (smaller, larger)
        source, target = (large, small) if into_small else (small, large)

        language = rng.choice(LANGUAGES)
        symbols = bool(large.symbol and small.symbol) and rng.random() < 0.3
        names = {unit: unit.symbol if symbols else rng.choice(unit.zh) for unit in (source, target)}
        phrasing = rng.choice(self.phrasings[language])
        if language == "zh":
            amount, asked, converted = f"{given}{names[source]}", names[target], f"{result}{names[target]}"
        else:
            amount, converted = _counted(given, source, symbols), _counted(result, target, symbols)
            asked = target.symbol if symbols else target.many
        question = vary(rng, phrasing.format(amount=amount, target=asked), language)

        steps = [] if conversion.decimal else _steps(larger, factor) if into_small else [f"{given}÷{factor}={result}"]
        if language == "zh":
            answer = "".join(f"{step}，" for step in steps) + f"{'所以' if steps else ''}{amount}={converted}。"
        else:
            answer = "".join(f"{step}, " for step in steps) + f"{'so ' if steps else ''}{amount} = {converted}."
        return Sample([], question, answer, language, phrasing, f"{source.many}-{target.many} {given}")

    def check(self, answer: str, expected: str) -> bool:
        """Compare the number after the steps."""
        return re.findall(r"\d+", answer)[-1:] == re.findall(r"\d+", expected)[-1:]


def _steps(number: int, factor: int) -> list[str]:
    """A product by tens and ones. Each step is also a step of other products, so a held-out product can be worked
    out.
    """
    tens, ones = number // 10 * 10, number % 10
    products = [f"{part}×{factor}={part * factor}" for part in (tens, ones) if part]
    return [*products, f"{tens * factor}+{ones * factor}={number * factor}"] if tens and ones else products


def _counted(number: int, unit: Unit, symbol: bool) -> str:
    return f"{number} {unit.symbol if symbol else unit.one if number == 1 else unit.many}"
