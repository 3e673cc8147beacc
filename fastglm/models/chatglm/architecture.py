"""ChatGLM-6B in the table of architectures."""

from ..architecture import Architecture, TensorNames
from .conversation import CONVERSATION

_HERE = "fastglm.models.chatglm"

CHATGLM_6B = Architecture(
    name="ChatGLM-6B",
    model_type="chatglm",
    recognizes=lambda fields: "position_encoding_2d" in fields or "inner_hidden_size" in fields,
    facts=f"{_HERE}.facts:ChatGLM6BFacts",
    config=f"{_HERE}.config:ChatGLM6BConfig",
    model=f"{_HERE}.model:ChatGLMForConditionalGeneration",
    block=f"{_HERE}.block:Block",
    auto_config="fastglm.models.registered:ChatGLMConfig",
    tokenizers=("fastglm.models.registered_tokenizers:ChatGLMTokenizer", f"{_HERE}.tokenizer:ChatGLM6BTokenizer"),
    tokenizer_files=("tokenizer_config.json", "ice_text.model"),
    tensors=TensorNames(
        embedding="transformer.word_embeddings",
        head="lm_head",
        final_norm="transformer.final_layernorm",
        layers="transformer.layers",
        attention_norm="input_layernorm",
        attention_in=("attention.query_key_value",),
        attention_out="attention.dense",
        mlp_norm="post_attention_layernorm",
        mlp_in=("mlp.dense_h_to_4h",),
        mlp_out="mlp.dense_4h_to_h",
        unused=("rotary_emb.inv_freq",),
    ),
    conversation=CONVERSATION,
    shapes={"chatglm-6b": 28},
)
