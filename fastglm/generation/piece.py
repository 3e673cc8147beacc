"""One piece of a streamed answer: what every consumer (chat, app, benchmarks) sees of a generation."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Piece:
    """The state of an answer when one more token became known. Times are seconds since the request."""

    text: str  # the answer so far, cleaned up and ready to show
    token: int
    tokens: int  # new tokens so far, this one counted
    prompt_tokens: int
    time: float
    ttft: float
    rounds_left_out: int = 0  # oldest rounds of the history that did not fit into the context
    stop: Literal["eos", "length"] | None = None  # on the last piece only
    cache_memory: int = 0  # bytes of the KV cache
    acceptance: float | None = None  # share of the drafted tokens that were kept so far; None where none is drafted

    @property
    def decode_rate(self) -> float | None:
        """Tokens per second after the first; None while there is only one."""
        return (self.tokens - 1) / (self.time - self.ttft) if self.tokens > 1 else None
