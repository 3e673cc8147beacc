"""The order of numbers: the larger or smaller of two, and sorting a few."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from random import Random
from typing import Literal

from .arithmetic import bilingual, number
from .base import LANGUAGES, Language, Sample, Skill, vary

Direction = Literal["up", "down"]  # towards the larger number, and towards the smaller
DIRECTIONS: tuple[Direction, ...] = ("up", "down")
_Wordings = Mapping[Language, Mapping[Direction, Sequence[str]]]

_WHICH: _Wordings = {
    "zh": {
        "up": (
            "{a}和{b}哪个大？",
            "{a}和{b}哪个更大？",
            "{a}和{b}哪个数更大？",
            "哪个更大，{a}还是{b}？",
            "哪个数大，{a}还是{b}？",
            "比较{a}和{b}，哪个更大？",
        ),
        "down": (
            "{a}和{b}哪个小？",
            "{a}和{b}哪个更小？",
            "{a}和{b}哪个数更小？",
            "哪个更小，{a}还是{b}？",
            "比较{a}和{b}，哪个小？",
            "比较{a}和{b}，哪个数更小？",
        ),
    },
    "en": {
        "up": (
            "Which is larger, {a} or {b}?",
            "Which is bigger, {a} or {b}?",
            "Which number is larger, {a} or {b}?",
            "Which number is bigger, {a} or {b}?",
            "Which of {a} and {b} is larger?",
            "Which is the larger number, {a} or {b}?",
        ),
        "down": (
            "Which is smaller, {a} or {b}?",
            "Which number is smaller, {a} or {b}?",
            "Which of {a} and {b} is smaller?",
            "Which is the smaller number, {a} or {b}?",
            "Which of {a} and {b} is the smaller number?",
        ),
    },
}
_WHETHER: _Wordings = {
    "zh": {
        "up": ("{a}比{b}大吗？", "{a}是不是比{b}大？", "{a}大于{b}吗？", "{a}是不是大于{b}？"),
        "down": ("{a}比{b}小吗？", "{a}是不是比{b}小？", "{a}小于{b}吗？", "{a}是不是小于{b}？"),
    },
    "en": {
        "up": (
            "Is {a} larger than {b}?",
            "Is {a} bigger than {b}?",
            "Is {a} a larger number than {b}?",
            "Is it true that {a} is larger than {b}?",
            "Is it true that {a} is bigger than {b}?",
        ),
        "down": (
            "Is {a} smaller than {b}?",
            "Is {a} a smaller number than {b}?",
            "Is it true that {a} is smaller than {b}?",
        ),
    },
}
_SORT: _Wordings = {
    "zh": {
        "up": (
            "把{n}从小到大排列。",
            "把{n}从小到大排序。",
            "{n}从小到大怎么排列？",
            "{n}从小到大怎么排序？",
            "把{n}按从小到大的顺序排列。",
            "按从小到大的顺序排列{n}。",
            "从小到大排列这些数：{n}。",
            "把这些数从小到大排序：{n}。",
            "把{n}按升序排列。",
            "按升序排列这些数：{n}。",
            "{n}按升序怎么排列？",
        ),
        "down": (
            "把{n}从大到小排列。",
            "把{n}从大到小排序。",
            "{n}从大到小怎么排列？",
            "{n}从大到小怎么排序？",
            "把{n}按从大到小的顺序排列。",
            "按从大到小的顺序排列{n}。",
            "从大到小排列这些数：{n}。",
            "把这些数从大到小排序：{n}。",
            "把{n}按降序排列。",
            "按降序排列这些数：{n}。",
            "{n}按降序怎么排列？",
        ),
    },
    "en": {
        "up": (
            "Sort {n} from smallest to largest.",
            "Can you sort {n} from smallest to largest?",
            "Sort these numbers from smallest to largest: {n}.",
            "Put {n} in order from smallest to largest.",
            "Can you put {n} in order from smallest to largest?",
            "Put these numbers in order from smallest to largest: {n}.",
            "Sort {n} in ascending order.",
            "Put {n} in ascending order.",
            "Can you put {n} in ascending order?",
            "Sort these numbers in ascending order: {n}.",
        ),
        "down": (
            "Sort {n} from largest to smallest.",
            "Can you sort {n} from largest to smallest?",
            "Sort these numbers from largest to smallest: {n}.",
            "Put {n} in order from largest to smallest.",
            "Can you put {n} in order from largest to smallest?",
            "Put these numbers in order from largest to smallest: {n}.",
            "Sort {n} in descending order.",
            "Put {n} in descending order.",
            "Can you put {n} in descending order?",
            "Sort these numbers in descending order: {n}.",
        ),
    },
}


def _together(*wordings: _Wordings) -> dict[Language, tuple[str, ...]]:
    """All phrasings of each language."""
    return {
        language: tuple(chain.from_iterable(group for w in wordings for group in w[language].values()))
        for language in LANGUAGES
    }


class Comparison(Skill):
    """Compares two numbers: names the larger or smaller one, or answers yes or no."""

    name = "comparison"
    titles = bilingual("比大小", "Comparing numbers")
    examples = bilingual("85和38哪个更大？", "Which is larger, 85 or 38?")
    kind = "rule"
    weight = 1.5
    practice = 12.0
    salt = "2"
    phrasings = _together(_WHICH, _WHETHER)

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        direction = rng.choice(DIRECTIONS)
        whether = rng.random() < 0.4
        phrasing = rng.choice((_WHETHER if whether else _WHICH)[language][direction])
        left, right = _pair(rng)
        question = vary(rng, phrasing.format(a=left, b=right), language)
        answer = (_whether if whether else _which)(left, right, direction, language)
        return Sample([], question, answer, language, phrasing, " ".join(map(str, sorted((left, right)))))

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings with the same meaning."""
        return (group for w in (_WHICH, _WHETHER) for directions in w.values() for group in directions.values())


class Ordering(Skill):
    """Sorts three to five different numbers, mostly below 100."""

    name = "ordering"
    titles = bilingual("排序", "Sorting numbers")
    examples = bilingual("把38、12、47从小到大排列。", "Sort 38, 12, 47 from smallest to largest.")
    kind = "rule"
    weight = 1.5
    practice = 3.5
    phrasings = _together(_SORT)

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        direction = rng.choice(DIRECTIONS)
        phrasing = rng.choice(_SORT[language][direction])
        numbers = rng.sample(range(100 if rng.random() < 0.9 else 1000), rng.choices((3, 4, 5), (9, 7, 4))[0])
        question = vary(rng, phrasing.format(n=_written(rng, numbers, language)), language)
        between, end = ("、", "。") if language == "zh" else (", ", ".")
        answer = between.join(map(str, sorted(numbers, reverse=direction == "down"))) + end
        return Sample([], question, answer, language, phrasing, " ".join(map(str, sorted(numbers))))

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings of one direction."""
        return (group for directions in _SORT.values() for group in directions.values())


def _pair(rng: Random) -> tuple[int, int]:
    """Two numbers of at most three digits, often close to each other and sometimes equal."""
    left = number(rng, rng.choices((1, 2, 3), (1, 4, 3))[0])
    kind = rng.choices(("equal", "close", "as long", "any"), (5, 20, 55, 20))[0]
    if kind == "equal":
        return left, left
    if kind == "close":
        return left, min(abs(left + rng.randint(-9, 9)), 999)
    return left, number(rng, len(str(left)) if kind == "as long" else rng.randint(1, 3))


def _which(left: int, right: int, direction: Direction, language: Language) -> str:
    if left == right:
        return f"{left}和{right}一样大。" if language == "zh" else f"{left} and {right} are equal."
    smaller, larger = sorted((left, right))
    if direction == "up":
        return f"{larger}比{smaller}大。" if language == "zh" else f"{larger} is larger than {smaller}."
    return f"{smaller}比{larger}小。" if language == "zh" else f"{smaller} is smaller than {larger}."


def _whether(left: int, right: int, direction: Direction, language: Language) -> str:
    """A comparison followed by yes or no; in the other order, the model would guess before it reasons."""
    true = left > right if direction == "up" else left < right
    reason = _which(left, right, "up" if left > right else "down", language)
    return reason[:-1] + {"zh": ("，所以不是。", "，所以是的。"), "en": (", so no.", ", so yes.")}[language][true]


def _written(rng: Random, numbers: Sequence[int], language: Language) -> str:
    """A list of numbers as people type it."""
    words = list(map(str, numbers))
    if language == "zh":
        return rng.choice(("、", "、", "，", " ")).join(words)
    if rng.random() < 0.3:
        return f"{', '.join(words[:-1])} and {words[-1]}"
    return rng.choice((", ", ", ", " ")).join(words)
