"""Units: right by pint, in every pair of units and every wording."""

import re
from collections import defaultdict
from random import Random

import pint
import pytest

from fastglm.demo.skills.units import CONVERSIONS, Units

REGISTRY: pint.UnitRegistry = pint.UnitRegistry()
for definition in ("piece = [count]", "dozen = 12 piece", "yuan = [money]", "jiao = 0.1 yuan", "fen = 0.01 yuan"):
    REGISTRY.define(definition)
REGISTRY.define("jin = 500 gram")
CHINESE = {
    **{"千米": "km", "公里": "km", "米": "m", "厘米": "cm", "毫米": "mm", "吨": "tonne", "千克": "kg", "公斤": "kg"},
    **{"克": "g", "升": "L", "毫升": "mL", "年": "year", "个月": "month", "周": "week", "个星期": "week", "天": "day"},
    **{"小时": "hour", "分钟": "minute", "秒": "second", "打": "dozen", "个": "piece", "斤": "jin"},
    **{"元": "yuan", "角": "jiao", "分": "fen"},
}


def equation(answer: str) -> list[tuple[int, str]]:
    """The two amounts at the end of an answer."""
    ((a, unit, b, other),) = re.findall(r"(\d+) ?([^\d\s=×+÷]+) ?= ?(\d+) ?([^\d\s=]+)[。.]$", answer)
    return [(int(a), unit), (int(b), other)]


def test_conversions_are_right() -> None:
    rng, pairs = Random(1), set()
    for _ in range(4000):
        sample = Units().sample(rng)
        (given, source), (result, target) = equation(sample.answer)
        pint_source, pint_target = (CHINESE.get(unit, unit) for unit in (source, target))
        assert REGISTRY.Quantity(given, pint_source).to(pint_target).magnitude == pytest.approx(result, rel=1e-12)
        assert re.search(rf"(?<!\d){given} ?{source}", sample.question)
        assert target in sample.question.replace(f"{given}{source}", "").replace(f"{given} {source}", "") or result == 1
        pairs.add(sample.operand.split()[0])
    assert len(pairs) == sum(1 + conversion.both_ways for conversion in CONVERSIONS)


def test_the_working_is_right() -> None:
    rng = Random(1)
    answers = [Units().sample(rng).answer for _ in range(4000)]
    calculate = {"×": int.__mul__, "+": int.__add__, "÷": int.__floordiv__}
    steps = [step for answer in answers for step in re.findall(r"(\d+)([×+÷])(\d+)=(\d+)", answer)]
    assert len(steps) > 1000
    assert all(calculate[sign](int(a), int(b)) == int(c) for a, sign, b, c in steps)


def test_a_held_out_product_is_a_step_of_trained_ones() -> None:
    """Conversions that are not decimal have few numbers, so other conversions must teach their parts."""
    rng, skill = Random(1), Units()
    samples = [skill.sample(rng) for _ in range(20_000)]
    steps: dict[str | None, set[str]] = defaultdict(set)
    for s in samples:
        steps[skill.split(s)] |= set(re.findall(r"\d+×\d+=\d+", s.answer))
    assert steps["new operands"] - steps[None] == set()


def test_a_conversion_is_graded_by_its_number() -> None:
    expected = "10×7=70, 7×7=49, 70+49=119, so 17 weeks = 119 days."
    assert Units().check("17 weeks = 119 days.", expected)
    assert not Units().check(expected.replace("119 days", "118 days"), expected)
