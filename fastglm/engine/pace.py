"""The pace of prompts that are read between the steps of running requests: in chunks of tokens (Agrawal et al., OSDI
2024, arXiv 2403.02310), and these layer by layer.
"""

from collections import deque
from math import ceil
from statistics import median

AIM = 1.2  # work on prompts in a round, in steps: a token beside it then takes 2.2 times as long as one without
LEAST = 48  # tokens of a chunk: the weights are read once for all of them, and with fewer each token costs more
MOST = 512  # tokens of a chunk: with more none of them costs less
SHORTEST = 8  # tokens that a shorter run costs as well
FIRST = 8  # tokens of a round before one was measured
SEEN = 9  # rounds whose median counts, so that a disturbed one does not


class Pace:
    """Chooses from the durations of earlier rounds how much of the prompts a round runs beside running requests. The
    work of one token in all layers is the unit.
    """

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=SEEN)  # seconds of rounds without such work
        self._tokens: deque[float] = deque(maxlen=SEEN)  # seconds that a token added to a round

    @property
    def budget(self) -> float:
        """The work of the next round."""
        return AIM * median(self._steps) / median(self._tokens) if self._steps and self._tokens else FIRST

    def chunk(self, unread: int, parts: int) -> int:
        """The number of tokens of the next chunk of a prompt, whose chunks have the same size: a part of the layers is
        the work of a round, or a quarter more where that saves a chunk.
        """
        most = min(max(int(self.budget * parts), LEAST), MOST)
        return ceil(unread / max(ceil(unread / most - 0.25), 1))

    def see(self, seconds: float, work: float) -> None:
        """Count a round beside running requests: its duration, and its work on prompts."""
        if not work:
            self._steps.append(seconds)
        elif self._steps:
            self._tokens.append(max(seconds - median(self._steps), 1e-6) / work)


def work_of(tokens: int) -> int:
    """The work of a run of prompts."""
    return max(tokens, SHORTEST)
