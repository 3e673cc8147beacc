"""The rule that ends repeats: a fixed count, or enough precision within a budget of time.

The rule uses the widths of intervals only, never the order of the variants: stopping as soon as a difference shows
would report a difference between equals far more often than 1 time in 20. Stopping at a width costs little: in
simulated runs (1200 each, log-normal noise of 1, 2, 3 %, 2 % wanted) the 95 % intervals at the stop contained the truth
in 97, 96, 94 %.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from benchmarks.measure.caveat import Remark
from fastglm.errors import UsageError

MOST_OF_A_PROCESS = 16  # answers
# Variance of one process's answers over the variance of several processes' medians, for the demo: (3 % / 1.2 %)².
_WITHIN = 6.0
LEAST = 6  # repeats, however steady: all of 5 lie on one side of their median in 1 of 16 cases
MOST = 100
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Precision:
    """The wanted relative half width of 95 % intervals, and the seconds that repeats may take to reach it."""

    width: float = 0.02
    budget: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.width < 1:
            raise UsageError("--precision is a half width above 0 % and below 100 %, such as 2%")
        if not 0 < self.budget < float("inf"):
            raise UsageError("--budget is a time above 0, such as 90s, 5m or 1h")

    @classmethod
    def read(cls, width: str | None, budget: str | None) -> "Precision":
        """Parse command-line texts such as `2%` and `5m`; None stands for the default. Raises `UsageError`."""
        default = cls()
        return cls(
            default.width if width is None else _share(width), default.budget if budget is None else _seconds(budget)
        )


def answers_of_a_process(load: float, each: float, least: int, precision: Precision | None) -> int | None:
    """The number of answers to take from each process if every repeat starts new ones. None if all repeats share one
    process per variant: for a fixed count, or if starting `least` times exceeds the budget.

    Processes of one variant differ for their lifetime (memory layout), which more answers of one process cannot show.
    The number that uses the time best (Kalibera and Jones 2013, doi:10.1145/2464157.2464160, section 5), rounded to an
    even number because variants are asked there and back.

    Args:
        load: seconds to load and warm up all variants.
        each: seconds of an answer of all variants.
    """
    if precision is None or each <= 0:
        return None
    best = sqrt(_WITHIN * load / each)
    answers = min(max(2 * round(best / 2), 2), MOST_OF_A_PROCESS)
    return answers if least * (load + answers * each) <= precision.budget else None


class Repeats:
    """Progress of a suite's repeats: at most `count`, and with a precision at least `least`.

    `each` estimates the seconds of one repeat until real times are known.
    """

    def __init__(self, count: int, least: int, precision: Precision | None, each: float) -> None:
        self.count = count
        self._least, self._precision, self._guess = min(least, count), precision, each
        self._width = float("inf")
        self._began = time.monotonic()
        self._taken = 0

    @property
    def seconds(self) -> float:
        """Seconds since just before the first repeat."""
        return time.monotonic() - self._began

    def bounds(self, done: int) -> tuple[int, int]:
        """The least and the largest number of repeats still to come after `done`."""
        left = self.count - done
        if self._precision is None:
            return left, left
        least = max(self._least - done, 0)
        return least, max(least, min(left, self._affordable()))

    def ended(self, done: int, widest: Callable[[], float]) -> str | None:
        """The reason to stop after `done` repeats: `precision`, `budget`, `maximum` or `count`; None to continue.

        `widest` gives the largest relative half width so far.
        """
        if self._precision and done >= self._least:
            self._width = widest()
            if self._width <= self._precision.width:
                return "precision"
            if done < self.count and not self._affordable():
                return "budget"
        if done >= self.count:
            return "maximum" if self._precision else "count"
        return None

    def took(self, repeats: int) -> None:
        """Count finished repeats."""
        self._taken += repeats

    def expected(self, done: int) -> int:
        """The expected total number of repeats from time and widths, which shrink with the square root of the
        number.
        """
        least, most = self.bounds(done)
        if self._precision is None or self._width == float("inf"):
            return done + most
        return done + max(least, 1, min(most, ceil(done * (self._width / self._precision.width) ** 2) - done))

    def note(self, by: str, done: int) -> dict[str, Any]:
        """The reason of the stop as data for the run's settings."""
        found: dict[str, Any] = {"by": by, "repeats": done, "seconds": round(self.seconds, 1)}
        return found | ({"width": round(self._width, 4)} if self._width < float("inf") else {})

    def _affordable(self) -> int:
        """The number of further repeats that the budget has time for."""
        assert self._precision is not None
        each = self.seconds / self._taken if self._taken else self._guess
        return int(max(self._precision.budget - self.seconds, 0) / each) if each > 0 else self.count


def remarks(settings: Mapping[str, Any]) -> Iterator[Remark]:
    """Remarks on repeats that ended before the wanted precision, and on repeats from a single process."""
    ended, wanted = settings.get("ended", {}).get("latency", {}), settings.get("precision")
    if settings.get("processes", {}).get("latency") == "one":
        yield Remark("one-process")
    if ended.get("by") in ("budget", "maximum") and wanted:
        yield Remark(ended["by"], {"repeats": ended["repeats"], "wanted": wanted})


def _share(text: str) -> float:
    number, percent = re.fullmatch(r"\s*(.*?)\s*(%?)\s*", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return _number(number, "--precision", "2%") / (100 if percent else 1)


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"\s*(.*?)\s*([smh]?)\s*", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return _number(number, "--budget", "90s, 5m or 1h") * _SECONDS[unit or "s"]


def _number(text: str, option: str, example: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} wants something such as {example}, not {text!r}") from None
