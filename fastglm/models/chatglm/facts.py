"""The facts of ChatGLM-6B by its config.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ...errors import CheckpointError, UsageError
from ...kernels.layout import PUBLISHED, Layout, get_layout
from ..architecture import recognize
from ..facts import LayerShape, ModelFacts
from ..ranges import check_ranges
from .field_ranges import RANGES
from .token_ids import ID_FIELDS, complete_ids


@dataclass(kw_only=True, repr=False)
class ChatGLM6BFacts(ModelFacts):
    """ChatGLM-6B, with the published field names and defaults.

    `inner_hidden_size` and `num_attention_heads` may be lists, one entry a layer: that is what a pruned model has.
    Ids of control tokens that are not given follow from those that are, and from the size of the vocabulary.
    Heads are `head_dim` wide; it defaults to the published `hidden_size / num_attention_heads`.
    `layer_numbers` are those that the layers of a pruned model were trained with, from 0: the published fp16 code
    scales scores by them. `sparsity` "2:4": of each 4 consecutive inputs of a block's linear layers 2 are zero.
    `weight_format` names the quantised format of the weights (`None`: as the tensors are), see `fastglm.kernels`;
    checkpoints in the published quantised layouts say the same with `quantization_bit`. `embedding_format` is that of
    embedding and head where they have one of their own, `calibration` how the weights were rounded. `cache_format`
    "int8": keys and values are kept as int8.
    """

    model_type: ClassVar[str] = "chatglm"
    vocabulary_can_shrink: ClassVar[bool] = True
    attribute_map: ClassVar[dict[str, str]] = {
        "num_hidden_layers": "num_layers",
        "max_position_embeddings": "max_sequence_length",
    }

    vocab_size: int = 130528
    hidden_size: int = 4096
    num_layers: int = 28
    num_attention_heads: int | list[int] = 32
    inner_hidden_size: int | list[int] = 16384
    layernorm_epsilon: float = 1e-5
    max_sequence_length: int = 2048
    position_encoding_2d: bool = True
    use_cache: bool = True
    bos_token_id: int | None = None
    mask_token_id: int | None = None
    gmask_token_id: int | None = None
    initializer_range: float = 0.02
    quantization_bit: int = 0
    quantization_embeddings: bool = False

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The facts in the fields of a config.json.

        Raises:
            CheckpointError: the config is of another architecture, or a field is of another type or out of its range.
        """
        made = super().from_fields(cls.checked(fields))
        check_ids(made)
        return made

    @classmethod
    def checked(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, each of its type and in its range, with one that follows from another. Raises CheckpointError."""
        recognize({"model_type": cls.model_type, **fields})
        check_ranges(fields, RANGES, cls.attribute_map)
        if fields.get("quantization_embeddings"):  # published with a quantised head beside the embedding
            return {"tie_word_embeddings": False, **fields}
        return dict(fields)

    def __post_init__(self) -> None:
        self.complete()

    def complete(self) -> None:
        """Set ids of control tokens that are not given, and the width of heads."""
        for name, id in complete_ids(vars(self)).items():
            setattr(self, name, id)
        if self.head_dim is None and isinstance(self.num_attention_heads, int):
            self.head_dim = self.hidden_size // self.num_attention_heads

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.num_layers

    @property
    def context(self) -> int:
        """The largest number of tokens, prompt and answer together."""
        return self.max_sequence_length

    def query_heads(self, layer: int) -> int:
        """Attention heads of a layer; keys and values have as many."""
        return _per_layer(self.num_attention_heads, layer)

    def inner(self, layer: int) -> int:
        """FFN channels of a layer."""
        return _per_layer(self.inner_hidden_size, layer)

    def set_layers(self, shapes: Sequence[LayerShape]) -> None:
        """Takes over the number of layers, their heads and FFN channels."""
        self.num_layers = len(shapes)
        self.num_attention_heads = _same_or_list([shape.query_heads for shape in shapes])
        self.inner_hidden_size = _same_or_list([shape.inner for shape in shapes])

    @classmethod
    def of_shape(cls, name: str, layers: int) -> Self:
        """The published config, with so many of its layers; there is one size."""
        return cls(num_layers=layers)

    def matrices(self, layer: int) -> list[tuple[int, int]]:
        """Rows and columns of a layer's linear maps: queries with keys and values, their output, and the FFN's two."""
        hidden, inner = self.hidden_size, self.inner(layer)
        attention = self.query_heads(layer) * int(self.head_dim or 0)
        return [(3 * attention, hidden), (hidden, attention), (inner, hidden), (hidden, inner)]

    def others(self, layer: int | None) -> int:
        """The number of biases, and of gains and shifts of norms."""
        norm = 2 * self.hidden_size
        return norm if layer is None else 2 * norm + sum(outputs for outputs, _ in self.matrices(layer))

    def linear_layout(self) -> Layout | None:
        """The layout of the linear layers; None for plain tensors."""
        return get_layout(self.weight_format) if self.weight_format else PUBLISHED.get(self.quantization_bit)

    def embedding_layout(self) -> Layout | None:
        """The layout of embedding and head; None for plain tensors, as in most of the published quantised ones."""
        if self.weight_format:
            return get_layout(self.embedding_format or self.weight_format)
        return self.linear_layout() if self.quantization_embeddings else None

    def check(self) -> None:
        """Raises CheckpointError where the fields cannot describe a model."""
        check_ranges(vars(self), RANGES, {})
        for name in ("weight_format", "embedding_format"):
            try:
                get_layout(getattr(self, name) or "int8")
            except UsageError as error:
                raise CheckpointError(f"config.json: {name}: {error}") from error
        for name in ("num_attention_heads", "inner_hidden_size", "layer_numbers"):
            value = getattr(self, name)
            if isinstance(value, list) and len(value) != self.num_layers:
                raise CheckpointError(
                    f"config.json: {name} lists {len(value)} layers, num_layers is {self.num_layers}: make them agree."
                )
        if self.head_dim is None or self.head_dim % 4:
            raise CheckpointError(
                f"config.json: heads are {self.head_dim} wide; two-dimensional rotary positions need a multiple of 4."
            )
        if self.sparsity not in (None, "2:4"):
            raise CheckpointError(f"config.json: sparsity is {self.sparsity!r}; known is 2:4.")
        if self.cache_format not in (None, "int8"):
            raise CheckpointError(f"config.json: cache_format is {self.cache_format!r}; known is int8.")
        if self.quantization_bit not in (0, 4, 8):
            raise CheckpointError(f"config.json: quantization_bit is {self.quantization_bit}; known are 4 and 8.")
        if not self.position_encoding_2d:
            raise CheckpointError(
                "config.json: position_encoding_2d is false; only the published two-dimensional form is supported."
            )
        self.check_prefix()


def _same_or_list(values: list[int]) -> int | list[int]:
    """One number where all layers are alike."""
    return values[0] if len(set(values)) == 1 else values


def _per_layer(value: int | list[int], layer: int) -> int:
    return value[layer] if isinstance(value, list) else value


def check_ids(config: ChatGLM6BFacts) -> None:
    """Raises CheckpointError where a config names a token that its vocabulary does not have."""
    for name in ID_FIELDS:
        found = getattr(config, name)
        ids = found if isinstance(found, list) else [] if found is None else [found]
        if max(ids, default=0) >= config.vocab_size:
            raise CheckpointError(
                f"config.json: {name} is {found}, and the vocabulary has {config.vocab_size} tokens: make them agree."
            )
