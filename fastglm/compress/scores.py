"""How well a checkpoint finds held-out answers: what a compression costs, seen step by step."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..evaluate.likelihood import Likelihood, batches_of, likelihood
from ..evaluate.streamed import StreamedModel
from ..hardware import resolve_device
from ..models.checkpoint import Checkpoint
from ..models.tokenizer import ChatGLMTokenizer
from ..progress import OnProgress, Progress
from ..texts import Text
from .calibration import ROW, examples
from .split import MOST

Scores = dict[str, float]


def score(folder: Path, texts: Sequence[Text], device: str, progress: OnProgress | None = None) -> Scores | None:
    """Loss in nats per token, perplexity, and the number of tokens; None where no text fits the context.

    A plain checkpoint is read layer by layer, so that it needs no room for the model; a packed one is loaded.

    Raises:
        CheckpointError, DeviceError, MemoryShortError: the checkpoint cannot be read, or run there.
    """
    checkpoint = Checkpoint(folder)
    tokenizer = ChatGLMTokenizer.from_pretrained(folder)
    found = examples(tokenizer, texts, min(ROW, checkpoint.config.max_sequence_length))[:MOST]
    if not found:
        return None
    if checkpoint.config.linear_format():
        from ..loader import load  # which makes variants with this package

        result = likelihood(load(str(folder), "original", device, progress=progress)[0], found)
    else:
        where = resolve_device(device)
        dtype = torch.float32 if where.type == "cpu" else torch.float16
        pad = checkpoint.config.pad_token_id
        assert pad is not None  # set by the config
        batches = list(batches_of(found, pad))

        def on_layer(done: int, layers: int) -> None:
            if progress:
                progress(Progress("score", done, layers, "layers"))

        best = StreamedModel(checkpoint, where, dtype).best_logits(batches, 1, on_layer)
        nats = sum(logits.losses.double().sum().item() for logits in best)
        result = Likelihood(nats, sum(len(batch.targets) for batch in batches))
    return {"loss": result.loss, "perplexity": result.perplexity, "tokens": result.tokens}
