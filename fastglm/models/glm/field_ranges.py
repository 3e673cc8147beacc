"""The type and the range of every field of GLM's config."""

from ..ranges import BOOL, COMMON, LAYERS, Kind, Range, Real, Whole

RANGES: dict[str, Range] = {
    **COMMON,
    "num_layers": Whole(1, LAYERS),
    "num_attention_heads": Whole(1, 1 << 12, listed=True),
    "multi_query_attention": BOOL,
    "multi_query_group_num": Whole(1, 1 << 12, listed=True),
    "ffn_hidden_size": Whole(1, 1 << 20, listed=True),
    "layernorm_epsilon": Real(0, 1),
    "seq_length": Whole(1, 1 << 24),
    "rope_ratio": Real(0, 1e9),
    "rotary_percent": Real(0, 1),
    "rotary_share": Real(0, 1),
    "rotary_base": Real(0, 1e13, optional=True),
    "rotary_divisor": Real(0, 1e9),
    "post_norms": BOOL,
    "generation": Kind("a word or null", (str, type(None))),
    **dict.fromkeys(("rmsnorm", "post_layer_norm", "original_rope", "add_bias_linear", "add_qkv_bias"), BOOL),
    **dict.fromkeys(("interleaved_qkv", "apply_residual_connection_post_layernorm", "fp32_residual_connection"), BOOL),
}
