"""Estimates of the time until answers end."""

import math
import time
from collections import deque
from collections.abc import Callable

_RECENT = 32  # ends that the rate is taken from


class Ends:
    """Follows the answers of a server, and the rate at which they end while there are any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open = 0
        self._idle = 0.0  # seconds without answers so far
        self._changed = clock()
        self._ends = deque([self._busy], maxlen=_RECENT + 1)  # the first one is the beginning

    def count(self, more: int) -> int:
        """Count answers that begin, or, below 0, that end; returns the open ones."""
        now = self._clock()
        if not self._open:
            self._idle += now - self._changed
        self._open, self._changed = self._open + more, now
        self._ends.extend([self._busy] * -more)
        return self._open

    def until(self, count: int) -> int:
        """The whole seconds, at least 1, until as many answers have ended, if they go on as lately."""
        passed, ended = self._busy - self._ends[0], len(self._ends) - 1
        return max(1, math.ceil(passed * count / max(ended, 1)))

    @property
    def _busy(self) -> float:
        """The seconds so far in which there were answers."""
        return (self._clock() if self._open else self._changed) - self._idle
