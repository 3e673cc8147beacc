"""The facts of ChatGLM-6B by its config.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ...errors import CheckpointError
from ...kernels.layout import Layout
from ..facts import LayerShape, ModelFacts, per_layer, same_or_list
from ..ranges import Range
from .field_ranges import RANGES
from .token_ids import complete_ids


@dataclass(kw_only=True, repr=False)
class ChatGLM6BFacts(ModelFacts):
    """ChatGLM-6B, with the published field names and defaults.

    `inner_hidden_size` and `num_attention_heads` may be lists with one entry for each layer, as in a pruned model.
    Missing ids of control tokens follow from the given ones and from the size of the vocabulary.
    Heads are `head_dim` wide, by default the published `hidden_size / num_attention_heads`.
    `layer_numbers` are the numbers that the layers of a pruned model were trained with, from 0: the published fp16 code
    scales scores by them. `sparsity` "2:4": 2 of each 4 consecutive inputs of a block's linear layers are zero.
    `weight_format` names the quantized format of the weights (`None`: plain tensors), see `fastglm.kernels`;
    checkpoints in the published quantized layouts say the same with `quantization_bit`. `embedding_format` names the
    format of embedding and head if they have one of their own; `calibration` tells how the weights were rounded.
    `cache_format` "int8": keys and values are kept as int8.
    """

    model_type: ClassVar[str] = "chatglm"
    vocabulary_can_shrink: ClassVar[bool] = True
    attribute_map: ClassVar[dict[str, str]] = {
        "num_hidden_layers": "num_layers",
        "max_position_embeddings": "max_sequence_length",
    }

    ranges: ClassVar[Mapping[str, Range]] = RANGES
    listed: ClassVar[tuple[str, ...]] = ("num_attention_heads", "inner_hidden_size", "layer_numbers")

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
    quantization_embeddings: bool = False

    @classmethod
    def checked(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, each of its type and in its range, with one that follows from another. Raises CheckpointError."""
        found = super().checked(fields)
        if found.get("quantization_embeddings"):  # published with a quantised head beside the embedding
            return {"tie_word_embeddings": False, **found}
        return found

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
        return per_layer(self.num_attention_heads, layer)

    def inner(self, layer: int) -> int:
        """FFN channels of a layer."""
        return per_layer(self.inner_hidden_size, layer)

    def set_layers(self, shapes: Sequence[LayerShape]) -> None:
        """Take over the number of layers, their heads and FFN channels."""
        self.num_layers = len(shapes)
        self.num_attention_heads = same_or_list([shape.query_heads for shape in shapes])
        self.inner_hidden_size = same_or_list([shape.inner for shape in shapes])

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

    def embedding_layout(self) -> Layout | None:
        """The layout of embedding and head; None for plain tensors, as in most of the published quantized ones."""
        return super().embedding_layout() or (self.linear_layout() if self.quantization_embeddings else None)

    def check(self) -> None:
        """Raise CheckpointError where the fields cannot describe a model."""
        super().check()
        if self.head_dim is None or self.head_dim % 4:
            raise CheckpointError(
                f"config.json: heads are {self.head_dim} wide; two-dimensional rotary positions need a multiple of 4."
            )
        if not self.position_encoding_2d:
            raise CheckpointError(
                "config.json: position_encoding_2d is false; only the published two-dimensional form is supported."
            )
