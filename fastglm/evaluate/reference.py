"""What the original makes of given texts, computed once and kept: variants are compared with it on any machine."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import CheckpointError
from ..home import folder
from ..models.checkpoint import Checkpoint
from ..models.packing import Batch, Example
from ..progress import OnProgress, Progress
from .likelihood import batches_of
from .streamed import BestLogits, StreamedModel

BEST = 64  # logits kept of every token
TOKENS_AT_ONCE = 16_384  # whose states are in memory together, while the weights pass once
_METADATA = {"format": "fastglm-reference-1"}


@dataclass(frozen=True, slots=True)
class Reference:
    """The original's best logits for the examples, in batches that every variant is asked too."""

    batches: list[Batch]
    best: list[BestLogits]


def reference(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    device: torch.device,
    dtype: torch.dtype,
    progress: OnProgress | None = None,
) -> Reference:
    """The reference for `examples`: the kept one, or else computed layer by layer and kept.

    It lies in `FASTGLM_HOME/references`, under a name made of the checkpoint's weights and the examples: a file that
    another machine made for the same ones serves as well.

    Raises:
        CheckpointError: the checkpoint is quantised or broken, or the kept file is broken.
    """
    pad = checkpoint.config.pad_token_id
    assert pad is not None  # set by the config
    batches = list(batches_of(examples, pad))
    texts = hashlib.sha256(repr([(example.tokens, example.context) for example in examples]).encode()).hexdigest()
    kept = folder("references") / f"{checkpoint.content_hash()[:24]}-{texts[:24]}.safetensors"
    if kept.is_file():
        return Reference(batches, _read(kept, batches))
    model = StreamedModel(checkpoint, device, dtype)
    groups = _groups(batches)
    best: list[BestLogits] = []
    for number, group in enumerate(groups):

        def on_layer(done: int, layers: int, before: int = number) -> None:
            if progress:
                progress(Progress("original", before * layers + done, len(groups) * layers, "layers"))

        best += model.best_logits(group, BEST, on_layer)
    _write(kept, best)
    return Reference(batches, best)


def _groups(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Batches that are in memory together."""
    groups: list[list[Batch]] = []
    room = 0
    for batch in batches:
        if batch.input_ids.numel() > room:
            groups.append([])
            room = TOKENS_AT_ONCE
        groups[-1].append(batch)
        room -= batch.input_ids.numel()
    return groups


def _write(path: Path, best: Sequence[BestLogits]) -> None:
    """Writes beside the place and moves there, so that a kill leaves no half of a file."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    names = [field.name for field in fields(BestLogits)]
    save_file({name: torch.cat([getattr(part, name) for part in best]).cpu() for name in names}, partial, _METADATA)
    os.replace(partial, path)


def _read(path: Path, batches: Sequence[Batch]) -> list[BestLogits]:
    try:
        with safe_open(path, framework="pt") as file:
            if file.metadata() != _METADATA:
                raise CheckpointError(f"{path} is of another version of FAST-ChatGLM: remove it.")
            sizes = [len(batch.targets) for batch in batches]
            parts = [file.get_tensor(field.name).split(sizes) for field in fields(BestLogits)]
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} is truncated or corrupt: remove it, it will be made again.") from error
    return [BestLogits(*part) for part in zip(*parts, strict=True)]
