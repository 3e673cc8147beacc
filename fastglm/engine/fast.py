"""The fast engine: a preallocated cache and one decode step of static shapes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .cache import ROOM, StaticCache
from .sampling import Sampler, Sampling


class FastEngine:
    """Answers of one model; no Python work grows with the length of an answer."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.cache: StaticCache | None = None

    def generate(
        self, prompt: list[int], max_new_tokens: int, sampling: Sampling, stops: tuple[int, ...]
    ) -> Iterator[int]:
        """Yields new token ids until one of `stops` (yielded too) or `max_new_tokens`; closing it frees the cache."""
        model = self.model
        inputs = torch.tensor([prompt], device=model.device)
        try:
            with torch.inference_mode():
                self.cache = self._make_cache(len(prompt) + min(max_new_tokens, ROOM))
                sampler = Sampler(sampling, inputs, model.config.vocab_size)
                plan = model.plan(inputs)
                positions = plan.next_position_ids(max_new_tokens)
                token = sampler(self._prefill(inputs, plan.position_ids, plan.attention_mask))
            for count in range(max_new_tokens):
                found = int(token)
                yield found
                if found in stops or count + 1 == max_new_tokens:
                    return
                # Entered anew each time: what consumes this generator must not run in inference mode.
                with torch.inference_mode():
                    token = sampler(self._step(token, positions[:, :, count : count + 1]))
        finally:
            self.cache = None

    def cache_memory(self, tokens: int) -> int:
        """Bytes of the cache as it is allocated."""
        return self.cache.memory if self.cache else 0

    def _make_cache(self, capacity: int) -> StaticCache:
        config = self.model.config
        heads = [config.heads(layer) for layer in range(config.num_layers)]
        is_int8 = config.cache_format == "int8"
        return StaticCache(heads, config.head_dim, capacity, self.model.dtype, self.model.device, is_int8)

    def _prefill(self, inputs: Tensor, position_ids: Tensor, mask: Tensor) -> Tensor:
        """Runs the prompt; logits of its last position, [1, vocabulary]."""
        assert self.cache is not None
        logits = self._forward(inputs, position_ids, mask)
        self.cache.prefilled(inputs.shape[1])
        return logits

    def _step(self, token: Tensor, position_ids: Tensor) -> Tensor:
        """Runs one token, [1, 1]; logits of the next, [1, vocabulary]."""
        assert self.cache is not None
        return self._forward(token, position_ids, self.cache.advance())

    def _forward(self, ids: Tensor, position_ids: Tensor, mask: Tensor) -> Tensor:
        return self.model(
            input_ids=ids,
            position_ids=position_ids,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
