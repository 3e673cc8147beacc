"""The facts of a model that follow from its config.json, without torch and transformers."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any, ClassVar, Self

from ..errors import CheckpointError, UsageError
from ..kernels.layout import Layout


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The widths of a layer. Each head of keys and values serves an equal number of query heads."""

    query_heads: int
    kv_heads: int
    inner: int  # channels of the MLP


@dataclass(kw_only=True, repr=False)
class ModelFacts:
    """Answers of every architecture's config that need no tensors, whatever its published fields are called.

    A config itself (`base.ModelConfig`) gives them too. Layers are counted from 0. A pruned model may have another
    number of heads or channels in each layer.
    """

    attribute_map: ClassVar[dict[str, str]] = {}  # other names of fields, and the fields they mean
    vocabulary_can_shrink: ClassVar[bool] = False  # `prune_vocabulary` knows its tokenizer's files

    vocab_size: int = 0
    hidden_size: int = 0
    head_dim: int | None = None
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True  # if the weights hold one matrix; two different ones are both kept
    dtype: Any = None  # torch's, or its name
    weight_format: str | None = None
    embedding_format: str | None = None
    calibration: dict[str, Any] | None = None
    layer_numbers: list[int] | None = None
    sparsity: str | None = None
    cache_format: str | None = None  # "int8": keys and values are kept as int8; None: in the dtype of the activations
    pre_seq_len: int | None = None  # number of tokens of a learned prefix (P-Tuning v2)
    prefix_projection: bool = False  # linear maps give the prefix from smaller embeddings

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The facts in the fields of a config.json; unknown fields are left out."""
        known = {field.name for field in fields_of(cls)}
        told = {name: value for name, value in fields.items() if name in known}
        told |= {name: fields[other] for other, name in cls.attribute_map.items() if other in fields}
        if told.get("dtype") is None:
            told["dtype"] = fields.get("torch_dtype")
        return cls(**told)

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

    def matrices(self, layer: int) -> list[tuple[int, int]]:
        """Rows and columns of a layer's linear maps."""
        raise NotImplementedError

    def others(self, layer: int | None) -> int:
        """The number of a layer's other parameters: biases and norms. For None: of those outside layers, except
        embedding and head.
        """
        raise NotImplementedError

    def cache_values(self) -> int:
        """The number of values in the keys and values of one token."""
        return 2 * sum(self.kv_heads(layer) for layer in range(self.layers)) * int(self.head_dim or 0)

    @property
    def prefix_inner(self) -> int:
        """The width of the embeddings from which a projection makes the prefix."""
        return self.hidden

    @property
    def prefix_parameters(self) -> int:
        """The number of weights of the learned prefix."""
        width, inner = self.cache_values(), self.prefix_inner
        length = self.pre_seq_len or 0
        if not length or not self.prefix_projection:
            return length * width
        return length * inner + (inner + 1) * self.hidden + (self.hidden + 1) * width

    @property
    def is_quantized(self) -> bool:
        """Tell whether the linear layers are packed in a format."""
        return self.linear_layout() is not None

    def linear_layout(self) -> Layout | None:
        """The layout of the linear layers; None for plain tensors."""
        raise NotImplementedError

    def embedding_layout(self) -> Layout | None:
        """The layout of embedding and head; None for plain tensors."""
        raise NotImplementedError

    def layer_number(self, layer: int) -> int:
        """The number that a layer was trained with: its own if no layer was removed before it."""
        return layer if self.layer_numbers is None else self.layer_numbers[layer]

    def shape(self, layer: int) -> LayerShape:
        """The widths of a layer."""
        return LayerShape(self.query_heads(layer), self.kv_heads(layer), self.inner(layer))

    def with_layers(self, shapes: Sequence[LayerShape]) -> Self:
        """The config with layers of these widths. Raises UsageError if a learned prefix fits the present ones only."""
        if self.pre_seq_len:
            raise UsageError(
                "The model has a learned prefix (P-Tuning v2), which fits its layers as they are: prune or distil the "
                "checkpoint that it was tuned from."
            )
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

    def check_prefix(self) -> None:
        """Raise CheckpointError if the layers differ, so that no published prefix fits."""
        if self.pre_seq_len and len({self.kv_heads(layer) for layer in range(self.layers)}) > 1:
            raise CheckpointError(
                "config.json: pre_seq_len is set, but the layers have different numbers of heads: a learned prefix "
                "(P-Tuning v2) needs the checkpoint that it was tuned from."
            )

    def check(self) -> None:
        """Raise CheckpointError if the fields cannot describe a model."""
        raise NotImplementedError
