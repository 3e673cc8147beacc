"""The published sizes, as fields of their configs that differ from the defaults."""

from typing import Any

_CHATGLM = {"multi_query_attention": True, "multi_query_group_num": 2, "add_qkv_bias": True, "num_layers": 28}
_CHATGLM2 = {**_CHATGLM, "generation": "chatglm2", "seq_length": 32768}
_CHATGLM3 = {**_CHATGLM, "generation": "chatglm3", "seq_length": 8192}
_GLM4 = {
    **_CHATGLM,
    "generation": "glm4",
    "num_layers": 40,
    "vocab_size": 151552,
    "layernorm_epsilon": 1.5625e-07,
    "seq_length": 131072,
    "rope_ratio": 500,
    "eos_token_id": [151329, 151336, 151338],
    "pad_token_id": 151329,
}
# In transformers' own layouts.
_EDGE = {
    "generation": "glm4",
    "multi_query_attention": True,
    "vocab_size": 59264,
    "seq_length": 8192,
    "rotary_base": 10000.0,
    "rotary_share": 1.0,
    "tie_word_embeddings": True,
    "eos_token_id": [59246, 59253, 59255],
    "pad_token_id": 59246,
}
_0414 = {
    **_GLM4,
    "layernorm_epsilon": 1e-5,
    "seq_length": 32768,
    "rope_ratio": 1,
    "rotary_base": 10000.0,
    "post_norms": True,
}
SHAPES: dict[str, dict[str, Any]] = {
    "chatglm2-6b": _CHATGLM2,
    "chatglm2-6b-32k": {**_CHATGLM2, "rope_ratio": 16},
    "chatglm3-6b": _CHATGLM3,
    "chatglm3-6b-base": _CHATGLM3,
    "chatglm3-6b-32k": {**_CHATGLM3, "seq_length": 32768, "rope_ratio": 50},
    "chatglm3-6b-128k": {**_CHATGLM3, "seq_length": 131072, "rope_ratio": 500},
    "glm-4-9b": _GLM4,
    "glm-4-9b-chat": _GLM4,
    "glm-4-9b-chat-1m": {**_GLM4, "seq_length": 1048576, "rope_ratio": 10000, "multi_query_group_num": 4},
    "codegeex2-6b": {**_CHATGLM, "generation": "codegeex2", "seq_length": 8192},
    "codegeex4-all-9b": _GLM4,
    "glm-edge-1.5b-chat": {
        **_EDGE,
        "num_layers": 28,
        "hidden_size": 2048,
        "ffn_hidden_size": 6144,
        "num_attention_heads": 16,
        "multi_query_group_num": 4,
    },
    "glm-4-9b-0414": _0414,
    "glm-z1-9b-0414": _0414,
}
