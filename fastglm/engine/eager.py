"""The published way: transformers' `generate` with its dynamic cache. The baseline, with nothing slow on purpose."""

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from .sampling import Sampling


class EagerEngine:
    """One answer by `generate`, which runs in a thread and hands its tokens over as it draws them."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def generate(
        self, prompt: list[int], max_new_tokens: int, sampling: Sampling, stops: tuple[int, ...]
    ) -> Iterator[int]:
        """Yields new token ids until one of `stops` (yielded too) or `max_new_tokens`; closing it ends the work."""
        tokens: SimpleQueue[int | BaseException | None] = SimpleQueue()
        closed = threading.Event()
        inputs = torch.tensor([prompt], device=self.model.device)

        def run() -> None:
            try:
                self._generate(inputs, max_new_tokens, sampling, stops, _Handover(tokens), closed)
                tokens.put(None)
            except BaseException as error:
                tokens.put(error)

        worker = threading.Thread(target=run, name="generate", daemon=True)
        worker.start()
        try:
            while (token := tokens.get()) is not None:
                if isinstance(token, BaseException):
                    raise token
                yield token
        finally:
            closed.set()
            worker.join()

    def cache_memory(self, tokens: int) -> int:
        """Bytes of keys and values for so many tokens."""
        config = self.model.config
        heads = sum(config.heads(layer) for layer in range(config.num_layers))
        return 2 * tokens * heads * config.head_dim * self.model.dtype.itemsize

    def _generate(
        self,
        inputs: Tensor,
        max_new_tokens: int,
        sampling: Sampling,
        stops: tuple[int, ...],
        streamer: BaseStreamer,
        closed: threading.Event,
    ) -> None:
        choice: dict[str, Any] = {"do_sample": False}
        if sampling.do_sample:
            choice = {
                "do_sample": True,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
                "temperature": sampling.temperature,
            }
            if sampling.seed is None:
                torch.seed()
            else:
                torch.manual_seed(sampling.seed)
        self.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=max_new_tokens,
            repetition_penalty=sampling.repetition_penalty,
            eos_token_id=list(stops) or None,
            pad_token_id=self.model.config.pad_token_id,
            streamer=streamer,
            stopping_criteria=StoppingCriteriaList([_Closed(closed)]),
            **choice,
        )


class _Handover(BaseStreamer):
    """Passes tokens on; `generate` gives the prompt first."""

    def __init__(self, tokens: "SimpleQueue[Any]") -> None:
        self.tokens = tokens
        self.prompt_seen = False

    def put(self, value: Tensor) -> None:
        if self.prompt_seen:
            self.tokens.put(int(value))
        self.prompt_seen = True

    def end(self) -> None:
        """Nothing to do: the thread says when it is done."""


class _Closed(StoppingCriteria):
    """Stops once nobody wants the answer any more."""

    def __init__(self, closed: threading.Event) -> None:
        self.closed = closed

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self.closed.is_set(), dtype=torch.bool, device=input_ids.device)
