"""One piece of a streamed answer: the data for every consumer (chat, app, benchmarks)."""

from dataclasses import dataclass
from typing import Literal

from ..messages import ToolCall


@dataclass(frozen=True, slots=True)
class Piece:
    """The state of an answer when one more token became known. Times are seconds since the request."""

    text: str  # the answer so far, cleaned up and ready to show
    token: int
    tokens: int  # new tokens so far, including this one
    prompt_tokens: int
    time: float
    ttft: float
    rounds_left_out: int = 0  # number of oldest rounds that did not fit into the context
    stop: Literal["eos", "length", "stop"] | None = None  # on the last piece only; "stop": at a stop text
    cache_memory: int = 0  # bytes of the KV cache
    context_full: bool = False  # on the last piece only: prompt and answer have filled the model's context
    call: ToolCall | None = None  # on the last piece only, of an answer that calls a tool
    acceptance: float | None = None  # accepted share of the drafted tokens so far; None without drafting
    reused_tokens: int = 0  # tokens of the prompt that an earlier request of the same owner has read
    logprob: float | None = None  # log-probability of the token, if the request asks for it
    top_logprobs: tuple[tuple[int, float], ...] = ()  # ids of the likeliest tokens, with their log-probabilities

    @property
    def decode_rate(self) -> float | None:
        """Tokens per second after the first; None while there is only one."""
        return (self.tokens - 1) / (self.time - self.ttft) if self.tokens > 1 else None
