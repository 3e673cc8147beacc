"""The fast engine: a preallocated cache, and one decode step that is compiled or captured."""

from collections.abc import Iterator
from typing import Any

from .logprobs import Logprobs
from .sampling import Sampling
from .scheduler import Scheduler


class FastEngine:
    """One answer of a model at a time; no Python work grows with its length."""

    acceptance: float | None = None  # share of accepted drafts: none are drafted
    reused = 0  # tokens of the prompt that an earlier request has read
    logprobs: Logprobs | None = None  # of the latest token, if its request asks for them

    def __init__(self, model: Any) -> None:
        self._scheduler = Scheduler(model)
        self._runs = False

    def generate(
        self,
        prompt: list[int],
        max_new_tokens: int,
        sampling: Sampling,
        stops: tuple[int, ...],
        owner: str | None = None,
    ) -> Iterator[int]:
        """Yield new token ids until one of `stops` (included) or `max_new_tokens`; closing it frees the cache.
        `owner`: see `Scheduler.add`.

        Raises MemoryShortError if memory is too short for the cache, NumbersError if logits are NaN or infinite; the
        engine stays usable.
        """
        scheduler = self._scheduler
        scheduler.add(0, prompt, max_new_tokens, sampling, stops.__contains__, owner)
        self._runs = True
        try:
            while scheduler.busy:
                for news in scheduler.step():
                    self.reused, self.logprobs = news.reused, news.logprobs
                    yield news.found()
        finally:
            self._runs = False
            scheduler.close()

    def cache_memory(self, tokens: int) -> int:
        """Bytes of the answer's slot of the cache."""
        return self._scheduler.slot_memory if self._runs else 0
