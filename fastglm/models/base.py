"""The contract between an architecture and everything that loads, compresses, runs or measures its models."""

from typing import ClassVar

import torch
from transformers import PreTrainedConfig

from ..kernels import WeightFormat


class ModelConfig(PreTrainedConfig):
    """Answers that the config of every architecture gives, whatever its published fields are called.

    Layers are counted from 0. A pruned model may have another number of heads or channels in each layer.
    """

    position_kinds: ClassVar[int] = 1  # position ids that each token has
    is_causal: ClassVar[bool] = True  # no token sees a later one: the keys of a prompt's beginning can be used again

    head_dim: int | None = None
    cache_format: str | None = None  # "int8": keys and values are kept as int8; None: in the dtype of the activations

    @property
    def layers(self) -> int:
        """The number of layers."""
        raise NotImplementedError

    @property
    def hidden(self) -> int:
        """The width of the states between layers."""
        raise NotImplementedError

    @property
    def context(self) -> int:
        """The largest number of tokens, prompt and answer together."""
        raise NotImplementedError

    def query_heads(self, layer: int) -> int:
        """Heads of a layer's queries."""
        raise NotImplementedError

    def kv_heads(self, layer: int) -> int:
        """Heads of a layer's keys and values; as many as those of its queries where none are shared."""
        return self.query_heads(layer)

    def inner(self, layer: int) -> int:
        """Channels of a layer's MLP."""
        raise NotImplementedError

    @property
    def is_quantized(self) -> bool:
        """Tell whether the linear layers are packed in a format."""
        return self.linear_format() is not None

    def linear_format(self) -> WeightFormat | None:
        """The format of the linear layers; None where they are plain tensors."""
        raise NotImplementedError

    def embedding_weight_format(self) -> WeightFormat | None:
        """The format of embedding and head; None where they are plain tensors."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises CheckpointError where the fields cannot describe a model."""
        raise NotImplementedError

    def cache_values(self) -> int:
        """The number of values that the keys and values of one token are."""
        return 2 * sum(self.kv_heads(layer) for layer in range(self.layers)) * int(self.head_dim or 0)

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of the keys and values of one token where activations are of `dtype`."""
        values = self.cache_values()
        if self.cache_format == "int8":
            return values + values // int(self.head_dim or 1) * dtype.itemsize  # a scale for each vector
        return values * dtype.itemsize
