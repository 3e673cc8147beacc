"""The folder of a variant's weights, downloaded or made on first use."""

import hashlib
import shutil
from pathlib import Path

from ..compress.checkpoint_writer import is_whole
from ..compress.quantize import quantise_folder
from ..errors import UsageError
from ..models.checkpoint import Checkpoint
from ..models.folder import CheckpointFolder
from ..progress.progress import OnProgress
from ..system.home import folder
from ..system.making import made_once
from .resolve import Weights


def fetch(weights: Weights, progress: OnProgress | None = None) -> Path:
    """The folder of the checkpoint; a quantized one is made on first use and kept in `FASTGLM_HOME/variants`.

    Raises:
        UsageError: the weights are not available yet, the model is quantized already, or cannot take the adapter.
        CheckpointError, DiskShortError: the model cannot be downloaded or read.
    """
    source, variant = weights.source, weights.variant
    origin = source.fetch()
    if weights.adapter:
        weights.adapter.check(CheckpointFolder(weights.made or origin).facts, f"{source.name} as {variant.name}")
    if not variant.quantises and not variant.recipe and not variant.drafts:
        return origin
    checkpoint = Checkpoint(origin)
    if checkpoint.config.is_quantized:
        raise UsageError(
            f"{source.name} is quantised already, so that it has no {variant.name}: run it as original or fast, "
            "or name the checkpoint it was made from."
        )
    if weights.reason:
        raise UsageError(f"{variant.name} {weights.reason}")
    if weights.made:
        return weights.made
    if variant.weight_format is None:
        return origin
    format = variant.weight_format
    kept = folder(f"variants/{origin.name}-{_fingerprint(checkpoint)}") / format

    def make(tell: OnProgress) -> None:
        shutil.rmtree(kept, ignore_errors=True)  # it is broken
        quantise_folder(origin, format, kept, tell)

    made_once(kept, lambda: is_whole(kept, origin), make, progress)
    return kept


def _fingerprint(checkpoint: Checkpoint) -> str:
    """A fingerprint of the checkpoint: its place, and the size and time of every weight file."""
    files = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in checkpoint.shards]
    return hashlib.sha256(repr((str(checkpoint.folder), files)).encode()).hexdigest()[:16]
