"""The facts of a model that follow from its config.json, without torch and transformers."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any, ClassVar, Self

from ..errors import CheckpointError, UsageError
from ..kernels.layout import PUBLISHED, Layout, get_layout
from .architecture import Conversation, architectures, recognize
from .ranges import COMMON, Range, check_ranges


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

    model_type: ClassVar[str] = ""
    attribute_map: ClassVar[dict[str, str]] = {}  # other names of fields, and the fields they mean
    has_generations: ClassVar[bool] = False  # a field `generation` decides what its other fields do not
    vocabulary_can_shrink: ClassVar[bool] = False  # `prune_vocabulary` knows its tokenizer's files
    prompt_states: ClassVar[int] = 9  # states of a whole prompt that exist at the same time while it is read, at most
    ranges: ClassVar[Mapping[str, Range]] = COMMON
    listed: ClassVar[tuple[str, ...]] = ("layer_numbers",)  # fields that may have an entry for each layer

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
    quantization_bit: int = 0  # of the published quantized layouts
    assumed: str | None = None  # a line on what the checkpoint does not tell; never saved

    @property
    def conversation(self) -> Conversation:
        """The rules of a conversation with the model."""
        return next(known.conversation for known in architectures() if isinstance(self, known.facts_class))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The facts in the fields of a config.json; unknown fields are left out.

        Raises:
            CheckpointError: the config is of another architecture, or a field is of another type or out of its range.
        """
        found = cls.checked(fields)
        known = {field.name for field in fields_of(cls)}
        told = {name: value for name, value in found.items() if name in known}
        if told.get("dtype") is None:
            told["dtype"] = found.get("torch_dtype")
        made = cls(**told)
        made.check_ids()
        return made

    @classmethod
    def checked(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields under the names of this class, each of its type and in its range.

        Raises:
            CheckpointError: the config is of another architecture, or a field is of another type or out of its range.
        """
        known = recognize({"model_type": cls.model_type, **fields})
        if not issubclass(cls, known.facts_class):
            raise CheckpointError(f"This is a {known.name} checkpoint: load it with AutoModel or fastglm.load.")
        check_ranges(fields, cls.ranges, cls.attribute_map)
        called = {name: fields[other] for other, name in cls.attribute_map.items() if other in fields}
        return {**{name: value for name, value in fields.items() if name not in cls.attribute_map}, **called}

    def check_ids(self) -> None:
        """Raise CheckpointError if the config names a token that its vocabulary does not have."""
        for name in (field.name for field in fields_of(type(self)) if field.name.endswith("_token_id")):
            found = getattr(self, name)
            ids = found if isinstance(found, list) else [] if found is None else [found]
            if max(ids, default=0) >= self.vocab_size:
                raise CheckpointError(
                    f"config.json: {name} is {found}, and the vocabulary has {self.vocab_size} tokens: make them agree."
                )

    def __post_init__(self) -> None:
        self.complete()

    def complete(self) -> None:
        """Set fields that are not given and follow from others."""

    def other_generation(self, fields: Mapping[str, Any]) -> str | None:
        """The generation that another config names, if this model is known to be of another one; otherwise None."""
        return None

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
        """The number of a layer's other parameters: biases and norms; for None, of the parameters outside layers,
        except embedding and head.
        """
        raise NotImplementedError

    def cache_values(self) -> int:
        """The number of values in the keys and values of one token."""
        return 2 * sum(self.kv_heads(layer) for layer in range(self.layers)) * int(self.head_dim or 0)

    def token_bytes(self, width: int) -> int:
        """Bytes of the keys and values of one token, for activations of `width` bytes a number."""
        values = self.cache_values()
        if self.cache_format == "int8":
            return values + values // int(self.head_dim or 1) * width  # a scale for each vector
        return values * width

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
        return get_layout(self.weight_format) if self.weight_format else PUBLISHED.get(self.quantization_bit)

    def embedding_layout(self) -> Layout | None:
        """The layout of embedding and head; None for plain tensors, as in the published quantized checkpoints."""
        return get_layout(self.embedding_format or self.weight_format) if self.weight_format else None

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

    def check(self) -> None:
        """Raise CheckpointError if the fields cannot describe a model."""
        check_ranges(vars(self), self.ranges, {})
        for name in ("weight_format", "embedding_format"):
            try:
                get_layout(getattr(self, name) or "int8")
            except UsageError as error:
                raise CheckpointError(f"config.json: {name}: {error}") from error
        for name in self.listed:
            value = getattr(self, name)
            if isinstance(value, list) and len(value) != self.layers:
                raise CheckpointError(
                    f"config.json: {name} lists {len(value)} layers, the model has {self.layers}: make them agree."
                )
        if self.sparsity not in (None, "2:4"):
            raise CheckpointError(f"config.json: sparsity is {self.sparsity!r}; known is 2:4.")
        if self.cache_format not in (None, "int8"):
            raise CheckpointError(f"config.json: cache_format is {self.cache_format!r}; known is int8.")
        if self.quantization_bit not in (0, 4, 8):
            raise CheckpointError(f"config.json: quantization_bit is {self.quantization_bit}; known are 4 and 8.")
        if self.pre_seq_len and len({self.kv_heads(layer) for layer in range(self.layers)}) > 1:
            raise CheckpointError(
                "config.json: pre_seq_len is set, but the layers have different numbers of heads: a learned prefix "
                "(P-Tuning v2) needs the checkpoint that it was tuned from."
            )


def same_or_list(values: list[int]) -> int | list[int]:
    """One number where all layers are alike."""
    return values[0] if len(set(values)) == 1 else values


def per_layer(value: int | list[int], layer: int) -> int:
    """The number of a layer, in a field that may have one for each."""
    return value[layer] if isinstance(value, list) else value
