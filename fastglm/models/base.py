"""The common interface of all architectures' configs."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from ..kernels import WeightFormat
from .architecture import Architecture, Conversation, architecture_of


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The widths of a layer. Each head of keys and values serves an equal number of query heads."""

    query_heads: int
    kv_heads: int
    inner: int  # channels of the MLP


class ModelConfig(PreTrainedConfig):
    """Answers of every architecture's config, whatever its published fields are called.

    Layers are counted from 0. A pruned model may have another number of heads or channels in each layer.
    """

    position_stride: ClassVar[tuple[int, ...]] = (1,)  # growth of each kind of position from a token to the next
    is_causal: ClassVar[bool] = True  # no token sees a later one: the keys of a prompt's beginning can be used again

    vocab_size: int = 0
    hidden_size: int = 0
    head_dim: int | None = None
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True  # if the weights hold one matrix; two different ones are both kept
    weight_format: str | None = None
    embedding_format: str | None = None
    calibration: dict[str, Any] | None = None
    layer_numbers: list[int] | None = None
    sparsity: str | None = None
    cache_format: str | None = None  # "int8": keys and values are kept as int8; None: in the dtype of the activations

    @property
    def architecture(self) -> Architecture:
        """The architecture of these fields."""
        return architecture_of(self)

    @property
    def conversation(self) -> Conversation:
        """The rules of a conversation with the model."""
        return self.architecture.conversation

    @property
    def pad(self) -> int:
        """The token that fills rows up."""
        assert self.pad_token_id is not None  # set when the config is made
        return self.pad_token_id

    @property
    def position_kinds(self) -> int:
        """The number of position ids that each token has."""
        return len(self.position_stride)

    @property
    def layers(self) -> int:
        """The number of layers."""
        raise NotImplementedError

    @property
    def hidden(self) -> int:
        """The width of the states between layers."""
        return self.hidden_size

    @property
    def context(self) -> int:
        """The largest number of tokens, prompt and answer together."""
        raise NotImplementedError

    def query_heads(self, layer: int) -> int:
        """Heads of a layer's queries."""
        raise NotImplementedError

    def kv_heads(self, layer: int) -> int:
        """Heads of a layer's keys and values; equal to its query heads unless they are shared."""
        return self.query_heads(layer)

    def inner(self, layer: int) -> int:
        """Channels of a layer's MLP."""
        raise NotImplementedError

    @property
    def is_quantized(self) -> bool:
        """Tell whether the linear layers are packed in a format."""
        return self.linear_format() is not None

    def linear_format(self) -> WeightFormat | None:
        """The format of the linear layers; None for plain tensors."""
        raise NotImplementedError

    def embedding_weight_format(self) -> WeightFormat | None:
        """The format of embedding and head; None for plain tensors."""
        raise NotImplementedError

    def layer_number(self, layer: int) -> int:
        """The number that a layer was trained with: its own if no layer was removed before it."""
        return layer if self.layer_numbers is None else self.layer_numbers[layer]

    def shape(self, layer: int) -> LayerShape:
        """The widths of a layer."""
        return LayerShape(self.query_heads(layer), self.kv_heads(layer), self.inner(layer))

    def with_layers(self, shapes: Sequence[LayerShape]) -> Self:
        """The config with layers of these widths."""
        changed = deepcopy(self)
        changed.set_layers(shapes)
        return changed

    def set_layers(self, shapes: Sequence[LayerShape]) -> None:
        """Set the number of layers and their widths."""
        raise NotImplementedError

    @classmethod
    def of_shape(cls, name: str, layers: int) -> Self:
        """The config of a published size, with `layers` of its layers."""
        raise NotImplementedError

    def agree(self, tokenizer: Any) -> None:
        """Take over the ids of the tokenizer. Raises CheckpointError if it has more tokens than the model."""
        raise NotImplementedError

    def trim(self, tokenizer: Any) -> Any:
        """Drop tokens that no text uses from the beginning of the vocabulary; returns the tokenizer without them.

        Raises UsageError if there are none.
        """
        raise NotImplementedError

    def positions(self, length: int, context: int) -> Tensor:
        """Positions of a conversation of `length` tokens, [kinds, length], whose answer follows token `context`."""
        raise NotImplementedError

    def visible(self, length: int, context: int) -> Tensor:
        """The tokens that each token may attend to, [length, length], True for these."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise CheckpointError if the fields cannot describe a model."""
        raise NotImplementedError

    def cache_values(self) -> int:
        """The number of values in the keys and values of one token."""
        return 2 * sum(self.kv_heads(layer) for layer in range(self.layers)) * int(self.head_dim or 0)

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of the keys and values of one token for activations of `dtype`."""
        values = self.cache_values()
        if self.cache_format == "int8":
            return values + values // int(self.head_dim or 1) * dtype.itemsize  # a scale for each vector
        return values * dtype.itemsize
