"""Round-to-nearest quantisation of a checkpoint folder, shard by shard, without ever holding the model."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError, UsageError
from ..kernels import WeightFormat, get_format
from ..models.checkpoint import Checkpoint
from ..models.config import ChatGLM6BConfig
from ..progress import OnProgress, Progress

# Bytes of packed weights collected before they are written as a shard.
SHARD_BYTES = 1 << 30
_HEAD, _EMBEDDING = "lm_head.weight", "transformer.word_embeddings.weight"


def quantise_folder(source: Path, weight_format: str, out: Path, progress: OnProgress | None = None) -> None:
    """Writes `source` with its linear layers, embedding and head packed in a format; `out` appears when it is whole.

    Peak memory is that of the largest tensor in fp32, a shard as it is read, and a shard as it is written.

    Args:
        weight_format: a name of `fastglm.kernels.FORMATS`.
        out: a folder that does not exist yet.

    Raises:
        UsageError: unknown format, `out` exists, or the checkpoint is quantised already.
        CheckpointError: the checkpoint cannot be read, or a tensor is missing.
    """
    format = get_format(weight_format)
    checkpoint = Checkpoint(source)
    if checkpoint.config.linear_format():
        raise UsageError(f"{source} is quantised already: run it as it is, or name the checkpoint it was made from.")
    if out.exists():
        raise UsageError(f"{out} exists already: name a folder that does not.")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        tied = heads_are_equal(checkpoint)
        write_shards(_pack(checkpoint, format, tied, progress), part)
        _write_config(checkpoint.config, weight_format, tied, source, part)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def heads_are_equal(checkpoint: Checkpoint) -> bool:
    """Whether head and embedding are one matrix: stored once, or twice and equal."""
    found: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors():
        if name in (_HEAD, _EMBEDDING):
            found[name] = tensor
    if _EMBEDDING not in found:
        raise CheckpointError(f"{checkpoint.folder} lacks {_EMBEDDING}: fetch the weights again.")
    return _HEAD not in found or torch.equal(found[_HEAD], found[_EMBEDDING])


def is_packed(name: str, tensor: Tensor) -> bool:
    """Whether a tensor of the published layout is a matrix that is quantised."""
    return name.endswith(".weight") and tensor.ndim == 2


def _pack(
    checkpoint: Checkpoint, format: WeightFormat, tied: bool, progress: OnProgress | None
) -> Iterator[tuple[str, Tensor]]:
    done = 0
    for name, tensor in checkpoint.tensors():
        done += tensor.nbytes
        if name.endswith("rotary_emb.inv_freq") or (tied and name == _HEAD):
            continue
        if is_packed(name, tensor):
            for part, packed in format.pack_blocks(tensor).items():
                yield name.removesuffix("weight") + part, packed
        else:
            yield name, tensor.clone()
        if progress:
            progress(Progress(f"quantise to {format.name}", done, checkpoint.size, "B"))


def write_shards(tensors: Iterator[tuple[str, Tensor]], folder: Path) -> None:
    """`model-00001.safetensors` and so on with an index, as transformers reads them."""
    shard: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    written = 0

    def flush() -> None:
        if shard:
            file = f"model-{len(set(names.values())) + 1:05d}.safetensors"
            save_file(shard, folder / file, metadata={"format": "pt"})
            names.update(dict.fromkeys(shard, file))
            shard.clear()

    for name, tensor in tensors:
        shard[name] = tensor.contiguous()
        written += tensor.nbytes
        if sum(held.nbytes for held in shard.values()) >= SHARD_BYTES:
            flush()
    flush()
    index = {"metadata": {"total_size": written}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")


def _write_config(config: ChatGLM6BConfig, weight_format: str, tied: bool, source: Path, folder: Path) -> None:
    config.weight_format = weight_format
    config.tie_word_embeddings = tied
    config.architectures = ["ChatGLMForConditionalGeneration"]
    config.save_pretrained(folder)
    for name in ("tokenizer_config.json", "ice_text.model"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
