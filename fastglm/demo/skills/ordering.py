"""The order of numbers: the larger or smaller of two, and sorting a few."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from random import Random
from typing import Literal

from .arithmetic import bilingual, number
from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary

Direction = Literal["up", "down"]  # towards the larger number, and towards the smaller
DIRECTIONS: tuple[Direction, ...] = ("up", "down")
_Wordings = Mapping[Language, Mapping[Direction, Sequence[str]]]


def _wordings(kind: str) -> _Wordings:
    each = {direction: PHRASINGS[f"ordering: {kind} {direction}"] for direction in DIRECTIONS}
    return {language: {direction: each[direction][language] for direction in DIRECTIONS} for language in LANGUAGES}


_WHICH: _Wordings = _wordings("which")
_WHETHER: _Wordings = _wordings("whether")
_SORT: _Wordings = _wordings("sort")


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
