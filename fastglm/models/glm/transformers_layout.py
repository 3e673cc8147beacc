"""Transformers' own layouts of GLM, `glm` and `glm4`, in terms of the published one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ..architecture import OtherLayout, TensorNames
from ..ranges import BOOL, LAYERS, Kind, OneOf, Range, Real, Whole, check_ranges
from .shapes import SHAPES

if TYPE_CHECKING:
    from .facts import GLMFacts

# Names of a config's fields, and the published ones.
_FIELDS = {
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "multi_query_group_num",
    "intermediate_size": "ffn_hidden_size",
    "rms_norm_eps": "layernorm_epsilon",
    "attention_bias": "add_qkv_bias",
    "max_position_embeddings": "seq_length",
}
_SAME = (
    *("vocab_size", "hidden_size", "head_dim", "pad_token_id", "eos_token_id", "tie_word_embeddings", "generation"),
    *("dtype", "torch_dtype", "use_cache", "initializer_range", "transformers_version", "_name_or_path"),
)
_TABLE = Kind("a table or null", (dict, type(None)))
_FACTOR = Real(0, 1e9)
_RANGES: dict[str, Range] = {
    "num_hidden_layers": Whole(1, LAYERS),
    "num_attention_heads": Whole(1, 1 << 12),
    "num_key_value_heads": Whole(1, 1 << 12, optional=True),
    "intermediate_size": Whole(1, 1 << 20),
    "rms_norm_eps": Real(0, 1),
    "attention_bias": BOOL,
    "max_position_embeddings": Whole(1, 1 << 24),
    "hidden_act": OneOf(("silu", "swish")),
    "rope_theta": Real(0, 1e13),
    "partial_rotary_factor": Real(0, 1),
    "factor": _FACTOR,
    "rope_parameters": _TABLE,
    "rope_scaling": _TABLE,
}
# As in the config classes of transformers.
_DEFAULTS = {**SHAPES["glm-4-9b"], "rope_ratio": 1}
_ANGLES = {"rope_theta": 10000.0, "partial_rotary_factor": 0.5, "factor": 1.0}


def own_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The published fields for a config of transformers' own layouts.

    Raises:
        CheckpointError: a field is of another type or out of its range, or scales positions in an unknown way.
    """
    check_ranges(fields, _RANGES, {})
    own = {name: fields[name] for name in _SAME if name in fields}
    own |= {name: fields[other] for other, name in _FIELDS.items() if other in fields}
    if own.get("eos_token_id", 0) is None:
        del own["eos_token_id"]
    if own.get("multi_query_group_num", 0) is None:
        own |= {"multi_query_group_num": 1, "multi_query_attention": False}
    angles = _angles(fields)
    own |= {
        "rotary_base": angles["rope_theta"],
        "rotary_share": angles["partial_rotary_factor"],
        "rotary_divisor": angles["factor"],
        "post_norms": fields["model_type"] == "glm4",
    }
    return {**_DEFAULTS, "model_type": "chatglm", **own}


def _angles(fields: Mapping[str, Any]) -> dict[str, float]:
    """Base, share and factor of the rotary angles, wherever releases of transformers put them."""
    told = fields.get("rope_scaling") or fields.get("rope_parameters") or {}
    kind = told.get("rope_type", told.get("type", "default"))
    if kind not in ("default", "linear"):
        raise CheckpointError(
            f"config.json scales rotary positions by {str(kind)[:40]!r}; only linear scaling is computed here: "
            "remove rope_scaling for the context that the model was trained with."
        )
    found = {name: told.get(name, fields.get(name, usual)) for name, usual in _ANGLES.items()}
    if kind == "default":
        found["factor"] = 1.0
    check_ranges(found, _RANGES, {})
    return found


def transformers_fields(facts: "GLMFacts") -> dict[str, Any]:
    """The sizes and the rules of numbers of a model with equal layers, as a config of transformers' own layouts has
    them: those of the angles both as transformers 5 and as its predecessors read them. The generation is for our own
    reading.
    """
    base, divisor = facts.base_and_divisor
    angles = {"rope_theta": base, "partial_rotary_factor": facts.rotary_share}
    scaling = None if divisor == 1 else {"rope_type": "linear", "factor": divisor}
    kind = "glm4" if facts.post_norms else "glm"
    return {
        "architectures": [f"{kind.capitalize()}ForCausalLM"],
        "model_type": kind,
        **{name: getattr(facts, name) for name in ("vocab_size", "hidden_size", "head_dim", "tie_word_embeddings")},
        **{other: getattr(facts, name) for other, name in _FIELDS.items()},
        "num_key_value_heads": facts.kv_heads(0),
        "hidden_act": "silu",
        "rope_parameters": {**(scaling or {"rope_type": "default"}), **angles},
        **angles,
        "rope_scaling": scaling,
        "generation": facts.generation,
    }


LAYOUT = OtherLayout(
    name="transformers' own layout",
    model_types=("glm", "glm4"),
    tensors=TensorNames(
        embedding="model.embed_tokens",
        head="lm_head",
        final_norm="model.norm",
        layers="model.layers",
        attention_norm="input_layernorm",
        attention_in=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_out="self_attn.o_proj",
        attention_out_norm="post_self_attn_layernorm",
        mlp_norm="post_attention_layernorm",
        mlp_in=("mlp.gate_up_proj",),
        mlp_out="mlp.down_proj",
        mlp_out_norm="post_mlp_layernorm",
        unused=("rotary_emb.inv_freq",),
    ),
    fields=own_fields,
    parts=lambda facts, layer: facts.attention_rows(layer),
)
