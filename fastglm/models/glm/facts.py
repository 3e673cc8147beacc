"""The facts of GLM by its config.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ...errors import CheckpointError
from ..architecture import Conversation
from ..facts import LayerShape, ModelFacts, per_layer, same_or_list
from ..ranges import Range
from .conversation import CONVERSATIONS
from .field_ranges import RANGES
from .generation import GENERATIONS, Generation, decide
from .shapes import SHAPES

BASE = 10000.0  # of the rotary frequencies, as published
# Fields of the published config whose other values mean something that no published checkpoint has.
_FIXED = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "original_rope": True,
    "add_bias_linear": False,
    "apply_residual_connection_post_layernorm": False,
    "fp32_residual_connection": False,
    "interleaved_qkv": False,
    "rotary_percent": 0.5,
}


@dataclass(kw_only=True, repr=False)
class GLMFacts(ModelFacts):
    """ChatGLM2 and its successors, with the published defaults; `padded_vocab_size` and `kv_channels` are called
    `vocab_size` and `head_dim` here, and saved under both names.

    `num_attention_heads`, `multi_query_group_num` and `ffn_hidden_size` may be lists with one entry for each layer, as
    in a pruned model. `generation` is a name of `generation.GENERATIONS`.

    The fields from `rotary_share` on are those of transformers' own layouts, in which a config tells all numbers, and
    the generation only the conversation.
    """

    model_type: ClassVar[str] = "chatglm"
    attribute_map: ClassVar[dict[str, str]] = {
        "padded_vocab_size": "vocab_size",
        "kv_channels": "head_dim",
        "num_hidden_layers": "num_layers",
        "max_position_embeddings": "seq_length",
    }
    ranges: ClassVar[Mapping[str, Range]] = RANGES
    has_generations: ClassVar[bool] = True
    prompt_states: ClassVar[int] = 3
    listed: ClassVar[tuple[str, ...]] = (
        "num_attention_heads",
        "multi_query_group_num",
        "ffn_hidden_size",
        "layer_numbers",
    )

    vocab_size: int = 65024
    hidden_size: int = 4096
    head_dim: int | None = 128
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    num_layers: int = 28
    num_attention_heads: int | list[int] = 32
    multi_query_attention: bool = False
    multi_query_group_num: int | list[int] = 1
    ffn_hidden_size: int | list[int] = 13696
    layernorm_epsilon: float = 1e-5
    seq_length: int = 2048
    add_qkv_bias: bool = False
    rope_ratio: float = 1
    use_cache: bool = True
    initializer_range: float = 0.02
    generation: str | None = None
    rotary_share: float = 0.5  # of each head
    rotary_base: float | None = None  # of the frequencies; None: by `rope_ratio` and the generation
    rotary_divisor: float = 1  # of positions
    post_norms: bool = False  # two more norms a layer: of what attention and MLP add

    @classmethod
    def checked(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields under the names of this class, each of its type and in its range. Raises CheckpointError."""
        found = super().checked(fields)
        for name, wanted in _FIXED.items():
            if found.get(name, wanted) != wanted:
                raise CheckpointError(
                    f"config.json: {name} is {str(found[name]).lower()}; only {str(wanted).lower()} is computed here."
                )
        if "num_layers" in fields:  # the published code reads this one of the two
            found["num_layers"] = fields["num_layers"]
        return found

    def complete(self) -> None:
        """Set the generation and the padding that are not given."""
        self.generation, _ = decide(vars(self))
        if self.pad_token_id is None:
            self.pad_token_id = self.eos_token_id[0] if isinstance(self.eos_token_id, list) else 0

    @property
    def rules(self) -> Generation:
        """The rules of numbers of its generation; those of transformers' own layouts are GLM-4's."""
        assert self.generation is not None  # set when the facts are made
        return GENERATIONS[self.generation if self.rotary_base is None else "glm4"]

    @property
    def base_and_divisor(self) -> tuple[float, float]:
        """The base of the rotary frequencies, and the number that positions are divided by."""
        if self.rotary_base is not None:
            return self.rotary_base, self.rotary_divisor
        return (BASE * self.rope_ratio, 1.0) if self.rules.ratio == "base" else (BASE, self.rope_ratio)

    @property
    def rotated(self) -> int:
        """The number of values in each head that are rotated."""
        return int((self.head_dim or 0) * self.rotary_share)

    def attention_rows(self, layer: int) -> list[int]:
        """Rows of a layer's queries, keys and values in their common matrix."""
        keys = self.kv_heads(layer) * int(self.head_dim or 0)
        return [self.query_heads(layer) * int(self.head_dim or 0), keys, keys]

    @property
    def conversation(self) -> Conversation:
        """The rules of a conversation in its generation."""
        assert self.generation is not None  # set when the facts are made
        return CONVERSATIONS[self.generation]

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.num_layers

    @property
    def context(self) -> int:
        """The largest number of tokens, prompt and answer together."""
        return self.seq_length

    def query_heads(self, layer: int) -> int:
        """Heads of a layer's queries."""
        return per_layer(self.num_attention_heads, layer)

    def kv_heads(self, layer: int) -> int:
        """Groups of a layer's heads; each shares its keys and values."""
        return per_layer(self.multi_query_group_num, layer) if self.multi_query_attention else self.query_heads(layer)

    def inner(self, layer: int) -> int:
        """Channels of a layer's MLP."""
        return per_layer(self.ffn_hidden_size, layer)

    def set_layers(self, shapes: Sequence[LayerShape]) -> None:
        """Take over the number of layers and their widths."""
        self.num_layers = len(shapes)
        self.num_attention_heads = same_or_list([shape.query_heads for shape in shapes])
        if self.multi_query_attention:
            self.multi_query_group_num = same_or_list([shape.kv_heads for shape in shapes])
        self.ffn_hidden_size = same_or_list([shape.inner for shape in shapes])

    @classmethod
    def of_shape(cls, name: str, layers: int) -> Self:
        """The config of a published size, with `layers` of its layers."""
        return cls(**{**SHAPES[name], "num_layers": layers})

    def matrices(self, layer: int) -> list[tuple[int, int]]:
        """Rows and columns of a layer's linear maps: queries with keys and values, their output, and the MLP's two."""
        hidden, inner, attention = self.hidden_size, self.inner(layer), self.attention_rows(layer)
        return [(sum(attention), hidden), (hidden, attention[0]), (2 * inner, hidden), (hidden, inner)]

    def others(self, layer: int | None) -> int:
        """The number of gains of norms, and of biases of queries, keys and values."""
        if layer is None:
            return self.hidden_size
        norms = 4 if self.post_norms else 2
        return norms * self.hidden_size + (sum(self.attention_rows(layer)) if self.add_qkv_bias else 0)

    @property
    def prefix_inner(self) -> int:
        """The width of the embeddings from which a projection makes a learned prefix."""
        return self.cache_values()

    def check(self) -> None:
        """Raise CheckpointError if the fields cannot describe a model."""
        super().check()
        if self.head_dim is None or self.head_dim % 2 or self.rotated % 2 or not self.rotated:
            raise CheckpointError(
                f"config.json: heads are {self.head_dim} wide; rotary positions on {self.rotary_share:.4g} of each "
                "need pairs of numbers."
            )
        for layer in range(self.layers):
            heads, groups = self.query_heads(layer), self.kv_heads(layer)
            if heads % groups:
                raise CheckpointError(
                    f"config.json: {heads} heads cannot share the keys of {groups} groups: the number of groups must "
                    "divide that of heads."
                )
