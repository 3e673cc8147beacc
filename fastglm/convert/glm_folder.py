"""Folders for transformers' own `GlmForCausalLM`, from checkpoints of ChatGLM2, 3, GLM-4 and CodeGeeX."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..compress.checkpoint_writer import new_folder, write_shards
from ..models.glm.transformers_layout import LAYOUT, transformers_fields
from ..models.other_layout import stored_parts
from ..progress.progress import OnProgress
from .readme import write_readme
from .source import Source
from .tokenizer_files import write_tokenizer
from .weights import read_weights


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
        yield from stored_parts(f"{weight.module}.{weight.end}", tensor, source.config, LAYOUT).items()


def _config(source: Source) -> dict[str, Any]:
    """The fields of `GlmConfig`, those of the angles both as transformers 5 and as its predecessors read them."""
    config = source.config
    return {
        **transformers_fields(config),
        "dtype": source.dtype,
        "pad_token_id": source.vocabulary.pad,
        "eos_token_id": source.vocabulary.ends,
        "bos_token_id": None,
        "use_cache": True,
    }


def _generation(source: Source) -> dict[str, Any]:
    return {"eos_token_id": source.vocabulary.ends, "pad_token_id": source.vocabulary.pad, **source.sampling}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
