"""Quantization of a checkpoint folder, shard by shard, without loading the model: to nearest, or calibrated."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from torch import Tensor

from ..kernels.format import Parts
from ..models.architecture import TensorNames
from ..models.base import ModelConfig
from ..models.checkpoint import Checkpoint
from ..progress.progress import OnProgress
from ..system.devices import resolve_device
from ..text_files import Text
from .checkpoint_writer import copy_tokenizer, new_folder, open_plain, stored_tensors, write_checkpoint
from .configs import packed_config
from .gptq_checkpoint import Calibrated, Packed, gptq_examples
from .size import predict_size


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
    """Write `source` with its linear layers, embedding and head packed in a format; `out` appears when it is complete.

    Without texts it rounds to nearest, and peak memory is that of the largest tensor in fp32, one shard being read and
    one being written. With texts it rounds by GPTQ, whose memory `gptq_checkpoint` describes.

    Args:
        weight_format: a name of `fastglm.kernels.formats.FORMATS`.
        out: a new folder.
        texts: to calibrate on.
        embedding_format: format of embedding and head; None means the layers' format.
        device: the device for calibration, as in `fastglm.load`.

    Raises:
        UsageError: unknown format, `out` exists, the checkpoint is quantized already, or the texts are too few.
        CheckpointError: the checkpoint cannot be read, or a tensor is missing.
        DiskShortError: the disk has no space for `out`, found before starting.
    """
    checkpoint = open_plain(source, out)
    packed = packed_config(checkpoint.config, weight_format, embedding_format)
    chosen = gptq_examples(checkpoint, texts) if texts is not None else []
    if chosen:
        tokens = sum(len(example.tokens) for example in chosen)
        packed.calibration = {"method": "GPTQ", "examples": len(chosen), "tokens": tokens}
    with new_folder(out, predict_size(packed).bytes) as folder:
        matrices: Iterable[Packed] = ()
        if chosen:
            matrices = Calibrated(checkpoint, packed, chosen, resolve_device(device)).matrices(progress)
        write_checkpoint(folder, packed, _pack(checkpoint, packed, matrices, None if chosen else progress))
        copy_tokenizer(source, folder)


def is_packed(names: TensorNames, name: str, tensor: Tensor) -> bool:
    """Tell whether a tensor of a checkpoint is a matrix to quantize; those of a learned prefix are not."""
    return name.endswith(".weight") and tensor.ndim == 2 and not name.startswith(f"{names.prefix}.")


def _pack(
    checkpoint: Checkpoint, packed: ModelConfig, calibrated: Iterable[Packed], progress: OnProgress | None
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the packed checkpoint: the `calibrated` matrices, then all others, rounded to nearest."""
    packed_already = set()
    for name, parts in calibrated:
        yield from _named(name, parts)
        packed_already.add(name)
    for name, tensor in stored_tensors(checkpoint, f"quantise to {packed.weight_format}", progress):
        if name in packed_already:
            continue
        format = packed.embedding_weight_format() if name in checkpoint.names.ends else packed.linear_format()
        if format and is_packed(checkpoint.names, name, tensor):
            yield from _named(name, format.pack_blocks(tensor))
        else:
            yield name, tensor.clone()


def _named(matrix: str, parts: Parts) -> Iterator[tuple[str, Tensor]]:
    return ((matrix.removesuffix("weight") + part, tensor) for part, tensor in parts.items())
