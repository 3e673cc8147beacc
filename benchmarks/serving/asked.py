"""One request as its client saw it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and its answer. Times are seconds of one monotonic clock.

    A wait counts from `due`, the moment at which an open loop wanted to send, so that a late client hides no wait.
    """

    due: float
    pieces: tuple[float, ...]  # arrivals of the chunks with text
    ended: float
    tokens: int = 0  # of the answer
    counted: bool = False  # the server gave no usage: each chunk counts as a token
    prompt_tokens: int | None = None
    error: str | None = None  # the request failed, or its stream broke off; None: the answer is whole
    status: int | None = None  # of the HTTP response, if there was one

    @property
    def ttft(self) -> float:
        """Seconds from the request to the first text."""
        return self.pieces[0] - self.due

    @property
    def time_per_token(self) -> float | None:
        """Mean seconds between tokens after the first; None for an answer that arrived at one moment."""
        if self.tokens < 2 or len(self.pieces) < 2:
            return None
        return (self.pieces[-1] - self.pieces[0]) / (self.tokens - 1)

    @property
    def answer_time(self) -> float:
        """Seconds from the request to the end of the answer."""
        return self.ended - self.due

    def tokens_between(self, start: float, end: float) -> float:
        """The answer's tokens that arrived after `start`, until `end`; tokens are spread evenly over the chunks."""
        inside = sum(start < piece <= end for piece in self.pieces)
        return self.tokens * inside / len(self.pieces) if self.pieces else 0.0
