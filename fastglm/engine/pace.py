"""The pace of prompts that are read between the steps of running requests (chunked prefill: Agrawal et al., OSDI 2024,
arXiv 2403.02310).
"""

from collections import deque
from statistics import median

AIM = 1.5  # duration of a chunk, in steps: a token beside it then takes 2.5 times as long as one without
LEAST = 64  # tokens of a chunk: with fewer, the prompt's own time grows by more than some 15 %
SHORTEST = 8  # tokens that a shorter run costs as well
SEEN = 9  # rounds whose median counts, so that a disturbed one does not


class Pace:
    """Chooses how many tokens of prompts a round reads beside running requests, from the rounds before: about as many
    as take `AIM` steps, and at least `LEAST`.
    """

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=SEEN)  # seconds of rounds that read nothing
        self._tokens: deque[float] = deque(maxlen=SEEN)  # seconds that a token added to a round

    @property
    def tokens(self) -> int:
        """The number of tokens to read in the next round."""
        if not (self._steps and self._tokens):
            return LEAST
        return max(int(AIM * median(self._steps) / median(self._tokens)), LEAST)

    def see(self, seconds: float, tokens: int) -> None:
        """Count a round beside running requests: its duration, and the tokens of prompts that it read."""
        if not tokens:
            self._steps.append(seconds)
        elif tokens >= LEAST and self._steps:  # the cost of fewer tokens tells little about a token
            self._tokens.append(max(seconds - median(self._steps), 1e-6) / tokens)
