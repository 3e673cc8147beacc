"""Warm-up: the same short work again and again until it gets no faster."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

STEADY = 2  # times in a row that are no faster than the best before them
FASTER = 0.03  # smallest relative decrease that counts as faster
MOST = 10  # times
LONG = 20.0  # seconds after which no further answer starts: such slow work was warm within its first answer
TOKENS = 16  # tokens of an answer: enough to allocate every buffer and to take every path


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A finished warm-up: seconds, number of answers, steadiness of the last ones, and seconds of the quickest of
    those.
    """

    seconds: float = 0.0
    answers: int = 0
    stable: bool = True
    quickest: float = 0.0

    def __add__(self, other: "WarmUp") -> "WarmUp":
        """Join two warm-ups that followed each other."""
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
    """Call `work`, which returns its relevant seconds, until they stop falling."""
    began = time.monotonic()
    times: list[float] = []
    while True:
        times.append(work())
        spent = time.monotonic() - began
        if steady(times) or len(times) >= MOST or spent > LONG:
            return WarmUp(spent, len(times), steady(times) or len(times) == 1, min(times[-STEADY:]))


def steady(times: list[float]) -> bool:
    """Tell whether the last times are no faster than the best before them. A stall among them is slow and so does no
    harm.
    """
    before, last = times[:-STEADY], times[-STEADY:]
    return bool(before) and min(last) > (1 - FASTER) * min(before)
