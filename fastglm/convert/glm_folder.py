"""Folders for transformers' own `GlmForCausalLM`, from checkpoints of ChatGLM2, 3, GLM-4 and CodeGeeX."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..compress.checkpoint_writer import new_folder, write_shards
from ..progress.progress import OnProgress
from .readme import write_readme
from .source import Source
from .tokenizer_files import write_tokenizer
from .weights import read_weights

_NAMES = {
    "embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "head": "lm_head",
    "attention_norm": "input_layernorm",
    "attention_out": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "mlp_in": "mlp.gate_up_proj",
    "mlp_out": "mlp.down_proj",
}


def write_glm(source: Source, out: Path, progress: OnProgress | None) -> None:
    """Write a folder; it appears when it is complete, and memory holds one shard.

    Raises:
        CheckpointError: the weights or the tokenizer cannot be read or expressed.
        DiskShortError: the disk of `out` is too small.
    """
    with new_folder(out, source.numbers * getattr(torch, source.dtype).itemsize) as folder:
        write_tokenizer(source, folder)
        write_shards(folder, _renamed(source, progress))
        _write(folder / "config.json", _config(source))
        _write(folder / "generation_config.json", _generation(source))
        write_readme(source, folder, out.name)


def _renamed(source: Source, progress: OnProgress | None) -> Iterator[tuple[str, Tensor]]:
    for weight, tensor in read_weights(source.checkpoint, progress):
        prefix = "" if weight.layer is None else f"model.layers.{weight.layer}."
        if weight.role == "attention_in":
            for name, part in zip("qkv", tensor.split(source.attention_rows), strict=True):
                yield f"{prefix}self_attn.{name}_proj.{weight.end}", part
        else:
            yield f"{prefix}{_NAMES[weight.role]}.{weight.end}", tensor


def _config(source: Source) -> dict[str, Any]:
    """The fields of `GlmConfig`, those of the angles both as transformers 5 and as its predecessors read them."""
    config = source.config
    angles = {"rope_theta": source.base, "partial_rotary_factor": source.rotated}
    scaling = None if source.divisor == 1 else {"rope_type": "linear", "factor": source.divisor}
    return {
        "architectures": ["GlmForCausalLM"],
        "model_type": "glm",
        "dtype": source.dtype,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden,
        "intermediate_size": config.inner(0),
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.query_heads(0),
        "num_key_value_heads": config.kv_heads(0),
        "head_dim": source.head_dim,
        "hidden_act": "silu",
        "attention_bias": config.add_qkv_bias,
        "rms_norm_eps": config.layernorm_epsilon,
        "max_position_embeddings": config.context,
        "rope_parameters": {**(scaling or {"rope_type": "default"}), **angles},
        **angles,
        "rope_scaling": scaling,
        "tie_word_embeddings": config.tie_word_embeddings,
        "pad_token_id": source.vocabulary.pad,
        "eos_token_id": source.vocabulary.ends,
        "bos_token_id": None,
        "use_cache": True,
    }


def _generation(source: Source) -> dict[str, Any]:
    return {"eos_token_id": source.vocabulary.ends, "pad_token_id": source.vocabulary.pad, **source.sampling}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
