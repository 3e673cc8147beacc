"""The growing KV cache of transformers' `generate`; packed if the config asks for int8."""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from ..kernels.quantized_cache import pack, unpack
from .base import ModelConfig


class Int8Layer(DynamicLayer):
    """One layer of transformers' dynamic cache, packed: `keys` and `values` are int8 [batch, heads, tokens, bytes].

    Scales lie beside the numbers, so all operations of transformers on a layer (crop, reorder, repeat, offload) work
    for them too.
    """

    keys: Tensor
    values: Tensor

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.keys, self.values = self.keys.to(torch.int8), self.values.to(torch.int8)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Add [batch, heads, new, head_dim]; returns all keys and values, a prompt's own without rounding."""
        if is_prompt := not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = super().update(pack(key_states), pack(value_states))
        if is_prompt:
            return key_states, value_states
        return unpack(keys, self.dtype), unpack(values, self.dtype)


def make_cache(config: ModelConfig) -> Cache:
    """An empty growing cache, in the format of the config."""
    return Cache(layer_class_to_replicate=Int8Layer) if config.cache_format == "int8" else DynamicCache()
