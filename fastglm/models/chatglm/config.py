"""The config of ChatGLM, and the generation it belongs to.

All generations publish `"model_type": "chatglm"`; `ChatGLMConfig.from_dict` distinguishes them by their fields.
"""

from typing import Any, ClassVar

import torch

from ...errors import CheckpointError, FastGLMError, UsageError
from ...kernels import Int4, Int8, WeightFormat, get_format
from ..base import ModelConfig
from ..ranges import check_ranges
from .token_ids import complete_ids

LATER_GENERATIONS = ("multi_query_group_num", "original_rope", "padded_vocab_size")


class ChatGLMConfig(ModelConfig):
    """The class registered for `model_type` "chatglm"; reading a config gives the subclass of its generation."""

    model_type = "chatglm"

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> "ChatGLMConfig":
        """The config of the right generation.

        Raises:
            CheckpointError: the config is of a generation that is not supported, or of none.
        """
        if "position_encoding_2d" in config_dict or "inner_hidden_size" in config_dict:
            generation = ChatGLM6BConfig
        elif any(field in config_dict for field in LATER_GENERATIONS):
            name = "GLM-4" if "rope_ratio" in config_dict else "ChatGLM2 or ChatGLM3"
            raise CheckpointError(
                f"This is a {name} checkpoint; fastglm runs ChatGLM-6B only so far: use a ChatGLM-6B checkpoint."
            )
        else:
            raise CheckpointError(
                "The config says chatglm but has the fields of no known generation: "
                "check that config.json is the one published with the checkpoint."
            )
        check_ranges(config_dict, generation.attribute_map)
        if config_dict.get("quantization_embeddings"):  # published with a quantized head beside the embedding
            config_dict = {"tie_word_embeddings": False, **config_dict}
        try:
            # Transformers does this with `cls`; here the generation's class does it.
            made = super(ChatGLMConfig, generation).from_dict(config_dict, **kwargs)
        except FastGLMError:
            raise
        except Exception as error:  # errors of transformers about its own fields have no common base
            said = " ".join(str(error).split())[:200]
            raise CheckpointError(f"config.json cannot be used ({said}): compare it with the published one.") from error
        _check_ids(made[0] if isinstance(made, tuple) else made)  # a tuple contains the unused `kwargs`
        return made


class ChatGLM6BConfig(ChatGLMConfig):
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

    attribute_map: ClassVar[dict[str, str]] = {
        "num_hidden_layers": "num_layers",
        "max_position_embeddings": "max_sequence_length",
    }
    # Read by AutoTokenizer where tokenizer_config.json is missing.
    tokenizer_class: ClassVar[str] = "ChatGLMTokenizer"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    position_kinds: ClassVar[int] = 2  # position and block position
    is_causal: ClassVar[bool] = False  # the context is seen in both directions

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
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    mask_token_id: int | None = None
    gmask_token_id: int | None = None
    tie_word_embeddings: bool = True  # where the weights hold one matrix; two that differ are both kept
    initializer_range: float = 0.02
    pre_seq_len: int | None = None
    prefix_projection: bool = False
    quantization_bit: int = 0
    quantization_embeddings: bool = False
    weight_format: str | None = None
    embedding_format: str | None = None
    calibration: dict[str, Any] | None = None
    layer_numbers: list[int] | None = None
    sparsity: str | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        for name, id in complete_ids(vars(self)).items():
            setattr(self, name, id)
        if self.head_dim is None and isinstance(self.num_attention_heads, int):
            self.head_dim = self.hidden_size // self.num_attention_heads
        super().__post_init__(**kwargs)

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.num_layers

    @property
    def hidden(self) -> int:
        """The width of the states between layers."""
        return self.hidden_size

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

    def layer_number(self, layer: int) -> int:
        """The number that a layer was trained with: its own where none was removed before it."""
        return layer if self.layer_numbers is None else self.layer_numbers[layer]

    def linear_format(self) -> WeightFormat | None:
        """The format of the linear layers; None where they are plain tensors."""
        if self.weight_format:
            return get_format(self.weight_format)
        # The published quantised layouts: fp16 scales, one a row.
        return {8: Int8(torch.float16), 4: Int4(None)}.get(self.quantization_bit)

    def embedding_weight_format(self) -> WeightFormat | None:
        """The format of embedding and head; None where they are plain, as in most of the published quantised ones."""
        if self.weight_format:
            return get_format(self.embedding_format or self.weight_format)
        return self.linear_format() if self.quantization_embeddings else None

    def check(self) -> None:
        """Raises CheckpointError where the fields cannot describe a model."""
        check_ranges(vars(self), {})
        for name in ("weight_format", "embedding_format"):
            try:
                get_format(getattr(self, name) or "int8")
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
        if self.pre_seq_len:
            raise CheckpointError(
                "This is a P-Tuning v2 checkpoint (pre_seq_len is set), which is not supported yet: "
                "use the checkpoint it was tuned from."
            )


def _per_layer(value: int | list[int], layer: int) -> int:
    return value[layer] if isinstance(value, list) else value


def _check_ids(config: ChatGLM6BConfig) -> None:
    """Raises CheckpointError where a config names a token that its vocabulary does not have."""
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id", "gmask_token_id"):
        found = getattr(config, name)
        ids = found if isinstance(found, list) else [] if found is None else [found]
        if max(ids, default=0) >= config.vocab_size:
            raise CheckpointError(
                f"config.json: {name} is {found}, and the vocabulary has {config.vocab_size} tokens: make them agree."
            )
