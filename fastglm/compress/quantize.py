"""Quantisation of a checkpoint folder, shard by shard, without ever holding the model: to nearest, or calibrated."""

import copy
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError, DiskShortError, UsageError
from ..evaluate.streamed import EMBEDDING, HEAD
from ..hardware import resolve_device
from ..kernels import get_format
from ..kernels.format import Parts
from ..models.chatglm import ChatGLMForConditionalGeneration
from ..models.checkpoint import Checkpoint
from ..models.config import ChatGLM6BConfig
from ..models.packing import Example
from ..models.tokenizer import ChatGLMTokenizer
from ..progress import OnProgress, Progress
from ..texts import Text
from .calibrated import Calibrated, Packed, calibration_examples

# Bytes of packed weights collected before they are written as a shard.
SHARD_BYTES = 1 << 30


def quantise_folder(
    source: Path,
    weight_format: str,
    out: Path,
    progress: OnProgress | None = None,
    *,
    texts: Sequence[Text] | None = None,
    embedding_format: str | None = None,
    device: str = "cpu",
) -> None:
    """Writes `source` with its linear layers, embedding and head packed in a format; `out` appears when it is whole.

    Without texts it rounds to nearest, and peak memory is that of the largest tensor in fp32, a shard as it is read,
    and a shard as it is written. With texts it rounds by GPTQ: `calibrated` says what that takes.

    Args:
        weight_format: a name of `fastglm.kernels.FORMATS`.
        out: a folder that does not exist yet.
        texts: what to calibrate on.
        embedding_format: of embedding and head; None: as the layers.
        device: where to calibrate, as in `fastglm.load`.

    Raises:
        UsageError: unknown format, `out` exists, the checkpoint is quantised already, or the texts are too few.
        CheckpointError: the checkpoint cannot be read, or a tensor is missing.
        DiskShortError: the disk has no room for `out`, found before starting.
    """
    for format in filter(None, (weight_format, embedding_format)):
        get_format(format)
    checkpoint = Checkpoint(source)
    config = checkpoint.config
    if config.linear_format():
        raise UsageError(f"{source} is quantised already: run it as it is, or name the checkpoint it was made from.")
    if out.exists():
        raise UsageError(f"{out} exists already: name a folder that does not.")
    chosen: list[Example] = []
    if texts is not None:
        chosen = calibration_examples(ChatGLMTokenizer.from_pretrained(source), texts, config)
    tied = heads_are_equal(checkpoint)
    packed = _packed_config(config, weight_format, embedding_format, tied, chosen)
    check_room(packed, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        matrices: Iterable[Packed] = ()
        if chosen:
            matrices = Calibrated(checkpoint, packed, chosen, resolve_device(device)).matrices(progress)
        write_shards(_pack(checkpoint, packed, matrices, None if chosen else progress), part)
        packed.save_pretrained(part)
        for name in ("tokenizer_config.json", "ice_text.model"):
            if (source / name).is_file():
                shutil.copyfile(source / name, part / name)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def heads_are_equal(checkpoint: Checkpoint) -> bool:
    """Whether head and embedding are one matrix: stored once, or twice and equal."""
    found: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors():
        if name in (HEAD, EMBEDDING):
            found[name] = tensor
    if EMBEDDING not in found:
        raise CheckpointError(f"{checkpoint.folder} lacks {EMBEDDING}: fetch the weights again.")
    return HEAD not in found or torch.equal(found[HEAD], found[EMBEDDING])


def check_room(config: ChatGLM6BConfig, out: Path) -> None:
    """Raises DiskShortError where a checkpoint of this config does not fit on the disk that `out` will lie on."""
    with torch.device("meta"):
        state = ChatGLMForConditionalGeneration(config).state_dict()
    needed = sum(tensor.nbytes for tensor in state.values())
    free = shutil.disk_usage(next(folder for folder in out.absolute().parents if folder.exists())).free
    if needed > free:
        raise DiskShortError(
            f"{out} needs {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free on its disk: make room there."
        )


def is_packed(name: str, tensor: Tensor) -> bool:
    """Whether a tensor of the published layout is a matrix that is quantised."""
    return name.endswith(".weight") and tensor.ndim == 2


def _packed_config(
    config: ChatGLM6BConfig,
    weight_format: str,
    embedding_format: str | None,
    tied: bool,
    chosen: Sequence[Example],
) -> ChatGLM6BConfig:
    packed = copy.deepcopy(config)
    packed.weight_format, packed.embedding_format = weight_format, embedding_format
    packed.tie_word_embeddings = tied
    packed.architectures = ["ChatGLMForConditionalGeneration"]
    if chosen:
        tokens = sum(len(example.tokens) for example in chosen)
        packed.calibration = {"method": "GPTQ", "examples": len(chosen), "tokens": tokens}
    return packed


def _pack(
    checkpoint: Checkpoint, packed: ChatGLM6BConfig, calibrated: Iterable[Packed], progress: OnProgress | None
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the packed checkpoint: the matrices that are `calibrated`, then all others, rounded to nearest."""
    left_out = {HEAD} if packed.tie_word_embeddings else set()
    for name, parts in calibrated:
        yield from _named(name, parts)
        left_out.add(name)
    done = 0
    for name, tensor in checkpoint.tensors():
        done += tensor.nbytes
        if name.endswith("rotary_emb.inv_freq") or name in left_out:
            continue
        format = packed.embedding_weight_format() if name in (HEAD, EMBEDDING) else packed.linear_format()
        if format and is_packed(name, tensor):
            yield from _named(name, format.pack_blocks(tensor))
        else:
            yield name, tensor.clone()
        if progress:
            progress(Progress(f"quantise to {packed.weight_format}", done, checkpoint.size, "B"))


def _named(matrix: str, parts: Parts) -> Iterator[tuple[str, Tensor]]:
    return ((matrix.removesuffix("weight") + part, tensor) for part, tensor in parts.items())


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
