"""Arithmetic: small numbers are calculated at once, larger ones with their steps; the equation ends the answer."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from random import Random
from typing import ClassVar, TypeVar

from .base import LANGUAGES, Language, Sample, Skill, Split, vary
from .working import added_columns, partial_products, subtracted_columns

_MARKS: dict[Language, tuple[str, str]] = {
    "zh": ("，", "。"),
    "en": (", ", "."),
}  # separators between steps, and after the last step
_INTEGER = re.compile(r"(?<!\d)-?\d+")
_T = TypeVar("_T")


def bilingual(zh: _T, en: _T) -> Mapping[Language, _T]:
    """A value for each language."""
    return {"zh": zh, "en": en}


class Calculation(Skill):
    """Two numbers and a sign. Questions made of signs alone are Chinese, so that each question has one answer."""

    kind = "rule"
    sign: ClassVar[str]

    @abstractmethod
    def numbers(self, rng: Random) -> tuple[int, int]:
        """Draw two numbers in the order in which they are calculated."""

    @abstractmethod
    def result(self, left: int, right: int) -> int:
        """The result of the calculation."""

    def working(self, left: int, right: int) -> list[str]:
        """The equations before the final one; none if the result is given at once."""
        return []

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        phrasing = rng.choice(self.phrasings[language])
        return self.asked(rng, language, phrasing, *self.numbers(rng))

    def asked(self, rng: Random, language: Language, phrasing: str, left: int, right: int) -> Sample:
        """A question about two numbers with its answer."""
        question = vary(rng, phrasing.format(a=left, b=right), language)
        return Sample([], question, self.answer(left, right, language), language, phrasing, self.operand(left, right))

    def answer(self, left: int, right: int, language: Language) -> str:
        """The steps and the final equation."""
        between, last = _MARKS[language]
        equation = f"{left}{self.sign}{right}={self.result(left, right)}"
        return between.join([*self.working(left, right), equation]) + last

    def operand(self, left: int, right: int) -> str:
        """The operands in one order, because either order gives the other away."""
        return self.sign.join(map(str, sorted((left, right))))

    def check(self, answer: str, expected: str) -> bool:
        """Compare the last number; the answer must have come to its end."""
        found = _INTEGER.findall(answer)
        return answer.strip().endswith(expected[-1]) and found[-1:] == _INTEGER.findall(expected)[-1:]


class Addition(Calculation):
    """Adds two numbers of at most two digits."""

    name = "addition"
    titles = bilingual("加法", "Addition")
    examples = bilingual("27加48等于多少？", "What is 27 plus 48?")
    weight = 8.0
    practice = 0.5
    salt = "6"
    sign = "+"
    phrasings = bilingual(
        (
            "{a}+{b}",
            "{a}+{b}=?",
            "{a} + {b} =？",
            "{a}+{b}等于多少？",
            "{a}+{b}=几？",
            "{a} + {b} 是多少？",
            "{a}加{b}等于多少？",
            "{a}加{b}等于几？",
            "{a}加{b}是多少？",
            "{a}加上{b}等于几？",
            "{a}加上{b}是多少？",
            "计算{a}+{b}。",
            "计算{a}加上{b}。",
            "计算{a}与{b}的和。",
            "{a}与{b}的和是多少？",
            "{a}与{b}的和等于多少？",
        ),
        (
            "What is {a}+{b}?",
            "What is {a} + {b}?",
            "How much is {a}+{b}?",
            "Calculate {a}+{b}.",
            "Can you calculate {a} + {b}?",
            "What is {a} plus {b}?",
            "How much is {a} plus {b}?",
            "Calculate {a} plus {b}.",
            "Can you calculate {a} plus {b}?",
            "What is the sum of {a} and {b}?",
            "Calculate the sum of {a} and {b}.",
            "Can you calculate the sum of {a} and {b}?",
            "Add {a} and {b}.",
            "Can you add {a} and {b}?",
            "Add {a} to {b}.",
            "How much is the sum of {a} and {b}?",
        ),
    )

    def numbers(self, rng: Random) -> tuple[int, int]:
        return short_pair(rng)

    def result(self, left: int, right: int) -> int:
        return left + right


class LongAddition(Addition):
    """Adds a number of three digits and a number of at most three, column by column."""

    name = "long_addition"
    titles = bilingual("三位数加法", "Three-digit addition")
    examples = bilingual("347加285等于多少？", "What is 347 plus 285?")
    weight = 3.0

    def numbers(self, rng: Random) -> tuple[int, int]:
        return long_pair(rng)

    def working(self, left: int, right: int) -> list[str]:
        return added_columns(left, right)


class Subtraction(Calculation):
    """Subtracts numbers of at most two digits; few results are negative."""

    name = "subtraction"
    titles = bilingual("减法", "Subtraction")
    examples = bilingual("82减45等于多少？", "What is 82 minus 45?")
    weight = 6.5
    salt = "1"
    sign = "-"
    phrasings = bilingual(
        (
            "{a}-{b}",
            "{a}-{b}=？",
            "{a} - {b} =？",
            "{a}-{b}等于多少？",
            "{a}-{b}=几？",
            "{a} - {b} 是多少？",
            "{a}减{b}等于多少？",
            "{a}减{b}等于几？",
            "{a}减{b}是多少？",
            "{a}减去{b}等于几？",
            "{a}减去{b}是多少？",
            "计算{a}-{b}。",
            "计算{a}减去{b}。",
            "从{a}里减去{b}是多少？",
            "从{a}里减去{b}等于多少？",
            "从{a}里减去{b}等于几？",
        ),
        (
            "What is {a}-{b}?",
            "What is {a} - {b}?",
            "How much is {a}-{b}?",
            "Calculate {a}-{b}.",
            "Can you calculate {a} - {b}?",
            "What is {a} minus {b}?",
            "How much is {a} minus {b}?",
            "Calculate {a} minus {b}.",
            "Can you calculate {a} minus {b}?",
            "Subtract {b} from {a}.",
            "Can you subtract {b} from {a}?",
            "What is left if you subtract {b} from {a}?",
            "How much is left if you subtract {b} from {a}?",
            "If you subtract {b} from {a}, how much is left?",
        ),
    )

    def numbers(self, rng: Random) -> tuple[int, int]:
        return _larger_first(rng, short_pair(rng))

    def result(self, left: int, right: int) -> int:
        return left - right

    def operand(self, left: int, right: int) -> str:
        """The larger number first, because the negative result gives the positive one away."""
        return f"{max(left, right)}-{min(left, right)}"


class LongSubtraction(Subtraction):
    """Subtracts numbers, at least one of them with three digits, column by column."""

    name = "long_subtraction"
    titles = bilingual("三位数减法", "Three-digit subtraction")
    examples = bilingual("632减285等于多少？", "What is 632 minus 285?")
    weight = 3.0
    practice = 1.7

    def numbers(self, rng: Random) -> tuple[int, int]:
        return _larger_first(rng, long_pair(rng))

    def working(self, left: int, right: int) -> list[str]:
        """The equations; a negative result is the result of the swapped numbers with its sign changed."""
        if left >= right:
            return subtracted_columns(left, right)
        return [*subtracted_columns(right, left), f"{right}-{left}={right - left}"]


class Multiplication(Calculation):
    """Multiplies by one digit at once, and two numbers of two digits by partial products."""

    name = "multiplication"
    titles = bilingual("乘法", "Multiplication")
    examples = bilingual("47乘38等于多少？", "What is 47 times 38?")
    weight = 4.5
    practice = 2.0
    salt = "6"
    sign = "×"
    phrasings = bilingual(
        (
            "{a}×{b}",
            "{a}*{b}=？",
            "{a}×{b}=?",
            "{a}×{b}等于多少？",
            "{a}*{b}=几？",
            "{a} * {b} 是多少？",
            "{a}乘{b}等于多少？",
            "{a}乘{b}等于几？",
            "{a}乘{b}是多少？",
            "{a}乘以{b}等于几？",
            "{a}乘以{b}是多少？",
            "计算{a}×{b}。",
            "计算{a}乘以{b}。",
            "计算{a}与{b}的积。",
            "{a}与{b}的积是多少？",
            "{a}与{b}的积等于多少？",
        ),
        (
            "What is {a}×{b}?",
            "What is {a} * {b}?",
            "How much is {a}*{b}?",
            "How much is {a} × {b}?",
            "Calculate {a}×{b}.",
            "Calculate {a}*{b}.",
            "What is {a} times {b}?",
            "How much is {a} times {b}?",
            "Calculate {a} times {b}.",
            "Can you calculate {a} times {b}?",
            "Multiply {a} by {b}.",
            "Can you multiply {a} by {b}?",
            "Multiply {a} and {b}.",
            "What is {a} multiplied by {b}?",
            "How much is {a} multiplied by {b}?",
            "Can you calculate {a} multiplied by {b}?",
        ),
    )

    def numbers(self, rng: Random) -> tuple[int, int]:
        left, right = rng.choices(((1, 1), (1, 2), (2, 1), (2, 2)), (15, 15, 20, 50))[0]
        return number(rng, left), number(rng, right)

    def result(self, left: int, right: int) -> int:
        return left * right

    def working(self, left: int, right: int) -> list[str]:
        return partial_products(left, right) if min(left, right) > 9 else []

    def split(self, sample: Sample) -> Split | None:
        """The split of a sample. A product with one digit is a fact and a step of other answers, so only its phrasing
        can be new.
        """
        split = super().split(sample)
        by_one_digit = min(map(int, sample.operand.split(self.sign))) < 10
        return None if split == "new operands" and by_one_digit else split


def number(rng: Random, digits: int) -> int:
    """Draw a number with the given number of digits."""
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def short_pair(rng: Random) -> tuple[int, int]:
    """Draw two numbers of one or two digits, mostly two."""
    left, right = rng.choices(((1, 1), (1, 2), (2, 1), (2, 2)), (10, 10, 10, 70))[0]
    return number(rng, left), number(rng, right)


def long_pair(rng: Random) -> tuple[int, int]:
    """Draw two numbers, at least one of them with three digits."""
    left, right = rng.choices(((3, 1), (1, 3), (3, 2), (2, 3), (3, 3)), (4, 4, 11, 11, 70))[0]
    return number(rng, left), number(rng, right)


def _larger_first(rng: Random, pair: tuple[int, int]) -> tuple[int, int]:
    """Put the larger number first, except in one pair of seven."""
    smaller, larger = sorted(pair)
    return (smaller, larger) if rng.randrange(7) == 0 else (larger, smaller)
