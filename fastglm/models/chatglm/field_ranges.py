"""The type and the range of every field of ChatGLM-6B's config."""

from ..ranges import BOOL, COMMON, ID, LAYERS, Range, Real, Whole

RANGES: dict[str, Range] = {
    **COMMON,
    "num_layers": Whole(1, LAYERS),
    "num_attention_heads": Whole(1, 1 << 12, listed=True),
    "inner_hidden_size": Whole(1, 1 << 20, listed=True),
    "layernorm_epsilon": Real(0, 1),
    "max_sequence_length": Whole(1, 1 << 20),
    "position_encoding_2d": BOOL,
    "bos_token_id": ID,
    "mask_token_id": ID,
    "gmask_token_id": ID,
    "quantization_embeddings": BOOL,
}
