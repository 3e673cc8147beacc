"""GLM in the table of architectures."""

from collections.abc import Mapping
from typing import Any

from ..architecture import Architecture, TensorNames
from .conversation import CONVERSATIONS
from .shapes import SHAPES
from .transformers_layout import LAYOUT

_HERE = "fastglm.models.glm"
_FIELDS = ("multi_query_group_num", "multi_query_attention", "original_rope", "padded_vocab_size", "ffn_hidden_size")


def _recognizes(fields: Mapping[str, Any]) -> bool:
    return any(name in fields for name in _FIELDS)


GLM = Architecture(
    name="GLM",
    model_type="chatglm",
    recognizes=_recognizes,
    facts=f"{_HERE}.facts:GLMFacts",
    config=f"{_HERE}.config:GLMConfig",
    model=f"{_HERE}.model:GLMForConditionalGeneration",
    block=f"{_HERE}.block:Block",
    auto_config="fastglm.models.registered:ChatGLMConfig",
    tokenizers=(
        "fastglm.models.registered_tokenizers:ChatGLMTokenizer",
        "fastglm.models.registered_tokenizers:ChatGLM4Tokenizer",
        f"{_HERE}.sp_tokenizer:GLMSentencePieceTokenizer",
        f"{_HERE}.rank_tokenizer:GLMRankTokenizer",
        f"{_HERE}.fast_tokenizer:GLMFastTokenizer",
    ),
    tokenizer_files=("tokenizer_config.json", "tokenizer.model", "tokenizer.json", "chat_template.jinja"),
    tensors=TensorNames(
        embedding="transformer.embedding.word_embeddings",
        head="transformer.output_layer",
        final_norm="transformer.encoder.final_layernorm",
        layers="transformer.encoder.layers",
        attention_norm="input_layernorm",
        attention_in=("self_attention.query_key_value",),
        attention_out="self_attention.dense",
        mlp_norm="post_attention_layernorm",
        mlp_in=("mlp.dense_h_to_4h",),
        mlp_out="mlp.dense_4h_to_h",
        attention_out_norm="post_self_attn_layernorm",
        mlp_out_norm="post_mlp_layernorm",
        unused=("rotary_pos_emb.inv_freq",),
    ),
    conversation=CONVERSATIONS["chatglm3"],  # configs give that of their generation
    shapes={name: fields["num_layers"] for name, fields in SHAPES.items()},
    other_layouts=(LAYOUT,),
)
