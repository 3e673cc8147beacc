"""Units: right by the size of each unit, in every pair of units and every wording."""

import re
from collections import defaultdict

from drawing import drawn

from fastglm.demo.skills.units import CONVERSIONS, Units

UNITS = Units()
SIZES = {  # in the smallest unit of its kind, by the definitions of the SI and of the calendar
    **dict.fromkeys(("kilometre", "km", "千米", "公里"), 10**6),
    **dict.fromkeys(("metre", "m", "米"), 1000),
    **dict.fromkeys(("centimetre", "cm", "厘米"), 10),
    **dict.fromkeys(("millimetre", "mm", "毫米"), 1),
    **dict.fromkeys(("tonne", "t", "吨"), 10**6),
    **dict.fromkeys(("kilogram", "kg", "千克", "公斤"), 1000),
    **dict.fromkeys(("jin", "斤"), 500),
    **dict.fromkeys(("gram", "g", "克"), 1),
    **dict.fromkeys(("litre", "L", "升"), 1000),
    **dict.fromkeys(("millilitre", "mL", "毫升"), 1),
    **dict.fromkeys(("year", "年"), 12),
    **dict.fromkeys(("month", "个月"), 1),
    **dict.fromkeys(("week", "周", "个星期"), 604_800),
    **dict.fromkeys(("day", "天"), 86_400),
    **dict.fromkeys(("hour", "小时"), 3600),
    **dict.fromkeys(("minute", "分钟"), 60),
    **dict.fromkeys(("second", "秒"), 1),
    **dict.fromkeys(("dozen", "打"), 12),
    **dict.fromkeys(("piece", "个"), 1),
    **dict.fromkeys(("yuan", "元"), 100),
    **dict.fromkeys(("jiao", "角"), 10),
    **dict.fromkeys(("fen", "分"), 1),
}


def size(unit: str) -> int:
    return SIZES[unit] if unit in SIZES else SIZES[unit.removesuffix("s")]


def equation(answer: str) -> list[tuple[int, str]]:
    """The two amounts at the end of an answer."""
    ((a, unit, b, other),) = re.findall(r"(\d+) ?([^\d\s=×+÷]+) ?= ?(\d+) ?([^\d\s=]+)[。.]$", answer)
    return [(int(a), unit), (int(b), other)]


def test_conversions_are_right() -> None:
    pairs = set()
    for sample in drawn(UNITS):
        (given, source), (result, target) = equation(sample.answer)
        assert given * size(source) == result * size(target)
        assert re.search(rf"(?<!\d){given} ?{source}", sample.question)
        assert target in sample.question.replace(f"{given}{source}", "").replace(f"{given} {source}", "") or result == 1
        pairs.add(sample.operand.split()[0])
    assert len(pairs) == sum(1 + conversion.both_ways for conversion in CONVERSIONS)


def test_the_working_is_right() -> None:
    answers = [sample.answer for sample in drawn(UNITS)]
    calculate = {"×": int.__mul__, "+": int.__add__, "÷": int.__floordiv__}
    steps = [step for answer in answers for step in re.findall(r"(\d+)([×+÷])(\d+)=(\d+)", answer)]
    assert len(steps) > 1000
    assert all(calculate[sign](int(a), int(b)) == int(c) for a, sign, b, c in steps)


def test_a_held_out_product_is_a_step_of_trained_ones() -> None:
    """Conversions that are not decimal have few numbers, so other conversions must teach their parts."""
    steps: dict[str | None, set[str]] = defaultdict(set)
    for s in drawn(UNITS, 20_000):
        steps[UNITS.split(s)] |= set(re.findall(r"\d+×\d+=\d+", s.answer))
    assert steps["new operands"] - steps[None] == set()


def test_a_conversion_is_graded_by_its_number() -> None:
    expected = "10×7=70, 7×7=49, 70+49=119, so 17 weeks = 119 days."
    assert Units().check("17 weeks = 119 days.", expected)
    assert not Units().check(expected.replace("119 days", "118 days"), expected)
