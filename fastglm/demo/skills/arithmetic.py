"""Numbers: sums and differences of small numbers, and counting."""

import re
from random import Random

from .base import LANGUAGES, Sample, Skill, vary

HIGHEST = 20  # operands and counts go from 0 to this
NUMERALS = "零一二三四五六七八九十"


class NumberSkill(Skill):
    """A skill whose question is its numbers, however they are put into words."""

    def identity(self, sample: Sample) -> str:
        numbers = re.findall(rf"\d+|[{NUMERALS}]", sample.question)
        return " ".join(n if n.isascii() else str(NUMERALS.index(n)) for n in numbers)


class Addition(NumberSkill):
    """Adds two numbers from 0 to 20."""

    name = "addition"
    weight = 1.8

    def sample(self, rng: Random) -> Sample:
        return _calculation(rng, rng.randint(0, HIGHEST), rng.randint(0, HIGHEST), "+")


class Subtraction(NumberSkill):
    """Takes one number from another; numbers from 0 to 20, no negative results."""

    name = "subtraction"
    weight = 1.4

    def sample(self, rng: Random) -> Sample:
        smaller, larger = sorted((rng.randint(0, HIGHEST), rng.randint(0, HIGHEST)))
        return _calculation(rng, larger, smaller, "-")


def _calculation(rng: Random, left: int, right: int, sign: str) -> Sample:
    """`left sign right`, asked in digits or in words; the answer repeats the calculation as it was written."""
    result = left + right if sign == "+" else left - right
    zh_word, en_word = ("加", "plus") if sign == "+" else ("减", "minus")
    if rng.choice(LANGUAGES) == "en":
        calculation = rng.choice((f"{left} {en_word} {right}", f"{left} {sign} {right}", f"{left}{sign}{right}"))
        frame = rng.choice(("What is {}?", "How much is {}?", "Calculate {}.", "{} is?"))
        return Sample([], vary(rng, frame.format(calculation), "en"), f"{left} {en_word} {right} is {result}.")
    if max(left, right, result) <= 10 and rng.random() < 0.3:
        a, b, c = NUMERALS[left], NUMERALS[right], NUMERALS[result]
        frame = rng.choice(("{}等于多少？", "{}等于几？", "{}是多少？", "{}得几？"))
        return Sample([], vary(rng, frame.format(f"{a}{zh_word}{b}"), "zh"), f"{a}{zh_word}{b}等于{c}。")
    calculation = rng.choice((f"{left}{zh_word}{right}", f"{left}{sign}{right}", f"{left} {sign} {right}"))
    frame = rng.choice(("{}等于多少？", "{}等于几？", "{}是多少？", "计算{}。", "{}=?", "{}＝？"))
    return Sample([], vary(rng, frame.format(calculation), "zh"), f"{left}{zh_word}{right}等于{result}。")


class Counting(NumberSkill):
    """Counts up or down between two numbers, at most ten apart."""

    name = "counting"
    weight = 1.0

    def sample(self, rng: Random) -> Sample:
        first = rng.randint(0, HIGHEST)
        last = rng.choice([n for n in range(HIGHEST + 1) if 2 <= abs(n - first) <= 9])
        numbers = (
            [str(n) for n in range(first, last + 1)] if first < last else [str(n) for n in range(first, last - 1, -1)]
        )
        if rng.choice(LANGUAGES) == "zh":
            question = rng.choice(("从{}数到{}。", "请从{}数到{}。", "从{}开始数到{}。")).format(first, last)
            return Sample([], vary(rng, question, "zh"), "、".join(numbers) + "。")
        question = rng.choice(
            ("Count from {} to {}.", "Can you count from {} to {}?", "Count the numbers from {} to {}.")
        )
        return Sample([], vary(rng, question.format(first, last), "en"), ", ".join(numbers) + ".")
