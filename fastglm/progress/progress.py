"""How long work tells that it moves on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_APART = 1.0  # seconds between two estimates of the time left
_AGREE = 0.3  # of the larger of them: how far two may be apart
COMPILING = "compile"  # the stage of a load that takes long, and only the first time


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of a named stage; `total` is 0 where it is not known. `note`: how it is going."""

    stage: str
    done: float
    total: float
    unit: str = ""
    note: str = ""

    @property
    def fraction(self) -> float:
        """Between 0 and 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


class TimeLeft:
    """The time that a stage still takes, once two estimates in a row agree: the first ones are often far off."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None  # a time, and what was done then
        self._last: tuple[float, float] | None = None  # a time, and what was left then
        self._agree = False

    def after(self, done: float, total: float) -> float | None:
        """Seconds from now; None while that is not known."""
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
    """How a command tells it."""

    bar = "bar"
    json = "json"


OnProgress = Callable[[Progress], None]
