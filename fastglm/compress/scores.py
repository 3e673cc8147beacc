"""Scores of a checkpoint on held-out answers, which show the cost of a compression step by step."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..evaluate.likelihood import Likelihood, batches_of, likelihood
from ..models.checkpoint import Checkpoint, read_config
from ..models.head import Head
from ..models.layerwise import LayerwiseModel
from ..models.loading import load_checkpoint
from ..models.packing import Batch, Example
from ..models.tokenizer_files import read_tokenizer
from ..progress.progress import OnProgress, Progress
from ..system.devices import resolve_device
from ..text_files import Text
from .calibration import ROW, examples
from .prune.vocabulary import kept_rows
from .text_split import MOST

Scores = dict[str, float]


def score(
    folder: Path, texts: Sequence[Text], device: str, progress: OnProgress | None = None, within: Path | None = None
) -> Scores | None:
    """Loss in nats per token, perplexity, and the number of tokens; None if no text fits the context.

    A plain checkpoint is read layer by layer, so it needs no memory for the whole model; a packed one is loaded, and
    multiplies its weights exactly.

    Args:
        within: a checkpoint of the same model with a smaller vocabulary. Texts are read with its tokenizer, and
        probabilities are renormalized over its tokens. Fewer tokens to choose from make each one likelier, so only such
        scores are comparable with the smaller model's.

    Raises:
        CheckpointError, DeviceError, MemoryShortError: the checkpoint cannot be read, or run there.
    """
    checkpoint = Checkpoint(folder)
    tokenizer = read_tokenizer(within or folder)
    found = examples(tokenizer, texts, min(ROW, checkpoint.config.context))[:MOST]
    if not found:
        return None
    if checkpoint.config.is_quantized:
        result = likelihood(load_checkpoint(folder, device, progress=progress), found)
    else:
        result = _streamed(checkpoint, found, device, progress, within)
    return {"loss": result.loss, "perplexity": result.perplexity, "tokens": result.tokens}


def _streamed(
    checkpoint: Checkpoint,
    found: Sequence[Example],
    device: str,
    progress: OnProgress | None,
    within: Path | None,
) -> Likelihood:
    """The likelihood, computed layer by layer; `within`: the checkpoint whose vocabulary the examples are in."""
    batches = list(batches_of(found, read_config(within) if within else checkpoint.config))
    head = None
    if within:
        rows = kept_rows(checkpoint.folder, within)
        batches, head = [_renumbered(batch, rows) for batch in batches], Head(checkpoint, rows)

    def on_layer(done: int, layers: int) -> None:
        if progress:
            progress(Progress("score", done, layers, "layers"))

    losses = LayerwiseModel(checkpoint, resolve_device(device)).finals(batches, on_layer, head).losses
    return Likelihood(losses.double().sum().item(), len(losses))


def _renumbered(batch: Batch, rows: Tensor) -> Batch:
    """The batch with its inputs in the whole vocabulary's ids; its targets keep the smaller vocabulary's ids."""
    return replace(batch, input_ids=rows[batch.input_ids])
