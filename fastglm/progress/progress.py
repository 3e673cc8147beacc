"""Progress of long work as data, and its estimated time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_APART = 1.0  # seconds between two estimates of the time left
_AGREE = 0.3  # the largest difference between two estimates, as a share of the larger one
COMPILING = "compile"  # a stage of loading that takes long, but only the first time


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of a named stage; `total` is 0 if unknown. `note` adds details in words."""

    stage: str
    done: float
    total: float
    unit: str = ""
    note: str = ""

    @property
    def fraction(self) -> float:
        """The share that is done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


class TimeLeft:
    """Estimates the time that a stage still takes; answers once two estimates in a row agree, because the first ones
    are often far off.
    """

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None  # a time, and the units done by then
        self._last: tuple[float, float] | None = None  # a time, and the units left then
        self._agree = False

    def after(self, done: float, total: float) -> float | None:
        """Seconds left, or None while unknown."""
        now = time.monotonic()
        if total and done >= total:
            return 0.0
        if self._began is None or done < self._began[1]:
            self._began, self._last, self._agree = (now, done), None, False
        began, first = self._began
        if not total or done <= first or now <= began:
            return None
        left = (total - done) * (now - began) / (done - first)
        if self._last is None:
            self._last = now, left
        elif now - self._last[0] >= _APART:
            expected = max(self._last[1] - (now - self._last[0]), 0.0)
            self._agree = abs(left - expected) <= _AGREE * max(left, expected)
            self._last = now, left
        return left if self._agree else None


class Show(StrEnum):
    """A way to show progress: the bar, or JSON lines."""

    bar = "bar"
    json = "json"


OnProgress = Callable[[Progress], None]
