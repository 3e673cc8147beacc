"""Calculations: every shown equation is true, the last one answers the question, and the split leaks nothing."""

import re
from random import Random

import pytest
from drawing import drawn

from fastglm.demo.skills.arithmetic import (
    Addition,
    Calculation,
    LongAddition,
    LongSubtraction,
    Multiplication,
    Subtraction,
)
from fastglm.demo.skills.base import LANGUAGES, Sample
from fastglm.demo.skills.working import added_columns, partial_products, subtracted_columns

SKILLS = (Addition(), LongAddition(), Subtraction(), LongSubtraction(), Multiplication())
SIGNS = {"addition": "+", "long_addition": "+", "subtraction": "-", "long_subtraction": "-", "multiplication": "×"}
EQUATION = re.compile(r"\d+(?:[+\-×]\d+)+=-?\d+")
every_skill = pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)


def asked(sample: Sample) -> tuple[int, int]:
    """The numbers in the order of the calculation that the question means."""
    first, second = map(int, re.findall(r"\d+", sample.question))
    return (second, first) if re.search("subtract .* from", sample.question, re.IGNORECASE) else (first, second)


def calculated(expression: str) -> int:
    """Python's own sum of the terms or product of the factors."""
    if "×" in expression:
        left, right = map(int, expression.split("×"))
        return left * right
    return sum(map(int, re.findall(r"[+-]?\d+", expression)))


@every_skill
def test_every_equation_is_true_and_the_last_one_is_the_question(skill: Calculation) -> None:
    for sample in drawn(skill):
        between, end = ("，", "。") if sample.language == "zh" else (", ", ".")
        assert sample.answer.endswith(end)
        equations = sample.answer.removesuffix(end).split(between)
        for equation in equations:
            assert EQUATION.fullmatch(equation), sample
            expression, result = equation.split("=")
            assert calculated(expression) == int(result), sample
        left, right = asked(sample)
        assert equations[-1].split("=")[0] == f"{left}{SIGNS[skill.name]}{right}"


@every_skill
def test_a_sample_says_what_it_is(skill: Calculation) -> None:
    samples = drawn(skill)
    for language in LANGUAGES:
        assert {s.phrasing for s in samples if s.language == language} == set(skill.phrasings[language])
        assert len(set(skill.phrasings[language])) == len(skill.phrasings[language])
    for sample in samples:
        numbers = sorted(asked(sample), reverse=SIGNS[skill.name] == "-")
        assert sample.operand == SIGNS[skill.name].join(map(str, numbers))
        assert sample.history == []


@every_skill
def test_numbers_are_as_long_as_the_skill_says(skill: Calculation) -> None:
    pairs = [asked(s) for s in drawn(skill)]
    lengths = [tuple(len(str(n)) for n in pair) for pair in pairs]
    if skill.name.startswith("long"):
        assert {max(pair) for pair in lengths} == {3}
        assert 0.6 < lengths.count((3, 3)) / len(lengths) < 0.8
    else:
        assert {max(pair) for pair in lengths} == {1, 2}
        assert set(lengths) == {(1, 1), (1, 2), (2, 1), (2, 2)}
    if SIGNS[skill.name] == "-":
        assert 0.08 < sum(left < right for left, right in pairs) / len(pairs) < 0.2


@pytest.mark.parametrize(
    ("left", "right", "columns"),
    [
        (347, 285, "7+5=12 4+8+1=13 3+2+1=6"),
        (999, 1, "9+1=10 9+0+1=10 9+0+1=10"),
        (5, 340, "5+0=5 0+4=4 0+3=3"),
    ],
)
def test_a_sum_is_added_from_the_right(left: int, right: int, columns: str) -> None:
    assert added_columns(left, right) == columns.split()


@pytest.mark.parametrize(
    ("larger", "smaller", "columns"),
    [
        (632, 285, "12-5=7 13-8-1=4 6-2-1=3"),
        (500, 123, "10-3=7 10-2-1=7 5-1-1=3"),
        (100, 7, "10-7=3 10-0-1=9 1-0-1=0"),
        (444, 444, "4-4=0 4-4=0 4-4=0"),
    ],
)
def test_a_difference_borrows_from_the_next_column(larger: int, smaller: int, columns: str) -> None:
    assert subtracted_columns(larger, smaller) == columns.split()


@pytest.mark.parametrize(
    ("left", "right", "steps"),
    [
        (47, 38, "47×8=376 47×3=141 6+0=6 7+1=8 3+4=7 0+1=1"),
        (99, 99, "99×9=891 99×9=891 1+0=1 9+1=10 8+9+1=18 0+8+1=9"),
        (47, 30, "47×3=141"),
        (10, 11, "10×1=10 10×1=10 0+0=0 1+0=1 0+1=1"),
    ],
)
def test_a_product_is_the_sum_of_its_partial_products(left: int, right: int, steps: str) -> None:
    assert partial_products(left, right) == steps.split()


@pytest.mark.parametrize("skill", [LongAddition(), LongSubtraction()], ids=lambda skill: skill.name)
def test_the_result_is_read_off_the_last_digits_of_the_columns(skill: Calculation) -> None:
    for sample in drawn(skill):
        equations = EQUATION.findall(sample.answer)
        results = [e.split("=")[1] for e in equations if not re.search(r"\d{3}.*=", e)]
        assert len(results) == 3
        digits = results[-1] + "".join(r[-1] for r in reversed(results[:-1]))
        assert abs(calculated(equations[-1].split("=")[0])) == int(digits)


def test_a_product_is_read_off_the_last_digits_of_the_columns() -> None:
    for left in range(10, 100):
        for right in range(10, 100):
            columns = [step.split("=")[1] for step in partial_products(left, right) if "+" in step]
            assert bool(columns) == bool(right % 10)
            assert not columns or int(columns[-1] + "".join(c[-1] for c in reversed(columns[:-1]))) == left * right


def test_a_negative_result_is_that_of_the_swapped_numbers() -> None:
    answer = "12-5=7，13-8-1=4，6-2-1=3，632-285=347，285-632=-347。"
    assert LongSubtraction().answer(285, 632, "zh") == answer


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("7+5=12，4+8+1=13，3+2+1=6，347+285=632。", True),
        ("347+285=632。", True),
        ("632。", True),
        ("7+5=12，4+8+1=13，3+2+1=6，347+285=631。", False),
        ("7+5=12，4+8+1=13，3+2+1=6，347+285=632", False),
        ("347+285=632，3。", False),
        ("347+285=-632。", False),
        ("我不知道。", False),
        ("", False),
    ],
)
def test_the_last_number_of_a_finished_answer_counts(answer: str, right: bool) -> None:
    assert LongAddition().check(answer, "7+5=12，4+8+1=13，3+2+1=6，347+285=632。") is right


def test_the_sign_of_the_result_counts() -> None:
    assert Subtraction().check("12-30=-18.", "12-30=-18.")
    assert not Subtraction().check("12-30=18.", "12-30=-18.")


@every_skill
def test_a_tenth_of_the_operands_is_held_out_in_both_orders(skill: Calculation) -> None:
    splits: dict[frozenset[int], set[str | None]] = {}
    for sample in drawn(skill, 6000):
        if (split := skill.split(sample)) != "new phrasing":
            splits.setdefault(frozenset(asked(sample)), set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    held_out = sum(found == {"new operands"} for found in splits.values()) / len(splits)
    assert (0.03 if skill.name == "multiplication" else 0.07) < held_out < 0.13


def test_no_held_out_product_is_a_step_of_another_answer() -> None:
    skill, rng = Multiplication(), Random(5)
    for _ in range(300):
        assert min(asked(skill.draw(rng, "new operands"))) >= 10
