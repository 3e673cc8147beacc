"""Warm-up: the same short work again and again until it gets no faster."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

STEADY = 2  # times in a row that are not faster than what was before
FASTER = 0.03  # share by which a time has to fall to count as faster
MOST = 10  # times
LONG = 20.0  # seconds after which no further time begins: what is so slow was warm inside its first answer
TOKENS = 16  # of an answer: enough for every buffer to be there and every path to be taken


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How long a warm-up took, how many answers it was, whether the last ones were steady, and the seconds of the
    quickest of those."""

    seconds: float = 0.0
    answers: int = 0
    stable: bool = True
    quickest: float = 0.0

    def __add__(self, other: "WarmUp") -> "WarmUp":
        """One after the other."""
        return WarmUp(
            self.seconds + other.seconds,
            self.answers + other.answers,
            self.stable and other.stable,
            self.quickest + other.quickest,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the run's settings."""
        return {**asdict(self), "seconds": round(self.seconds, 3), "quickest": round(self.quickest, 5)}


def warm_up(work: Callable[[], float]) -> WarmUp:
    """Call `work`, which returns the seconds that count of it, until they stop falling."""
    began = time.monotonic()
    times: list[float] = []
    while True:
        times.append(work())
        spent = time.monotonic() - began
        if steady(times) or len(times) >= MOST or spent > LONG:
            return WarmUp(spent, len(times), steady(times) or len(times) == 1, min(times[-STEADY:]))


def steady(times: list[float]) -> bool:
    """Whether the last times are no faster than the best before them. A stall among them does no harm: it is slow."""
    before, last = times[:-STEADY], times[-STEADY:]
    return bool(before) and min(last) > (1 - FASTER) * min(before)
