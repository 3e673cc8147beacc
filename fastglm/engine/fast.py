"""The fast engine: a preallocated cache, and one decode step that is compiled or captured."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .cuda_graph import Captured, Run
from .runner import DecodeState
from .sampling import Sampler, Sampling, best_of, checked


class FastEngine:
    """Answers of one model, one at a time; no Python work grows with the length of an answer."""

    acceptance: float | None = None  # of drafted tokens: it drafts none

    def __init__(self, model: Any) -> None:
        self.model = model
        self._sequence = DecodeState(model)
        self._is_cuda = model.device.type == "cuda"

    def generate(
        self, prompt: list[int], max_new_tokens: int, sampling: Sampling, stops: tuple[int, ...]
    ) -> Iterator[int]:
        """Yields new token ids until one of `stops` (yielded too) or `max_new_tokens`; closing it frees the cache.

        On CUDA each step is launched before the token that precedes it is looked at, so that the device does not wait;
        one step too many is run where that token stops the answer.

        Raises MemoryShortError where there is no memory for the cache, NumbersError where logits are no numbers; the
        engine stays usable.
        """
        run, reader = self._runner(), TokenReader(self._is_cuda)
        try:
            # Entered anew each time: what consumes this generator must not run in inference mode.
            with torch.inference_mode():
                token = self._begin([prompt], [0], max_new_tokens, sampling)
            for left in reversed(range(max_new_tokens)):
                with torch.inference_mode():
                    reader.start(token)
                    if self._is_cuda and left:
                        token = self._advance(run, token)
                found = checked(*reader.finish())
                yield found
                if found in stops or not left:
                    return
                if not self._is_cuda:
                    with torch.inference_mode():
                        token = self._advance(run, token)
        finally:
            self._sequence.free()

    def cache_memory(self, tokens: int) -> int:
        """Bytes of the cache as it is allocated."""
        return self._sequence.memory

    def _runner(self) -> Run[Tensor]:
        """What runs the steps of an answer; not kept, as a captured graph holds memory."""
        return Captured(self._run) if self._is_cuda else self._run

    def _begin(self, prompts: list[list[int]], numbers: list[int], max_new_tokens: int, sampling: Sampling) -> Tensor:
        """Runs the prompts of answers, and gives their first tokens, [rows, 1]; `numbers` are for the sampler."""
        inputs = [torch.tensor(prompt, device=self.model.device) for prompt in prompts]
        self._sampler = Sampler(sampling, inputs, self.model.config.vocab_size, numbers)
        logits = self._sequence.prefill(inputs, max_new_tokens)
        self._sampler.stir()
        return self._sampler(logits, best_of(logits)[:, None])

    def _advance(self, run: Run[Tensor], token: Tensor) -> Tensor:
        """Launches the step of tokens, [rows, 1]; the next ones."""
        entering, inputs = self._sequence.enter(token)
        self._sampler.stir()
        return run(entering, inputs)

    def _run(self, entering: Tensor, inputs: list[Tensor]) -> Tensor:
        logits, best = self._sequence.step(entering, *inputs)
        return self._sampler(logits[:, -1], best)


class TokenReader:
    """Reads tokens from the device without waiting for what was launched after them."""

    def __init__(self, is_cuda: bool) -> None:
        self._event = torch.cuda.Event() if is_cuda else None
        self._token = torch.empty(0, 1, dtype=torch.long)

    def start(self, token: Tensor) -> None:
        """token: [rows, 1]."""
        if self._event is None:
            self._token = token
            return
        if len(self._token) != len(token):
            self._token = torch.empty(len(token), 1, dtype=torch.long, pin_memory=True)
        self._token.copy_(token, non_blocking=True)
        self._event.record(torch.cuda.current_stream(token.device))

    def finish(self) -> list[int]:
        """A token a row."""
        if self._event is not None:
            self._event.synchronize()
        return self._token.flatten().tolist()
