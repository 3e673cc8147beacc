"""Time of a model to answer many prompts at once."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from ..engine.compile.prepare import finish_several
from ..errors import HostError
from ..progress.progress import OnProgress
from .answers import generate


def ready_for_batches(model: Any, _tokenizer: Any, progress: OnProgress | None = None) -> None:
    """Wait until the step of several rows is compiled, which would otherwise happen in the background."""
    finish_several(model)


def batch_time(
    model: Any, _tokenizer: Any, prompts: Sequence[list[int]], new_tokens: int, progress: OnProgress | None = None
) -> float:
    """Seconds for `new_tokens` tokens after each of `prompts`, side by side and greedily, ignoring stop tokens.

    Every variant runs on its own engine, except `speculative`, which drafts for one sequence only and runs like `fast`
    here.

    Raises:
        HostError: an answer has another length.
    """
    _wait_for(model.device)
    began = time.perf_counter()
    found = generate(model, prompts, new_tokens)
    _wait_for(model.device)
    seconds = time.perf_counter() - began
    if any(len(ids) != new_tokens for ids in found):
        raise HostError(f"an answer has {len(found[0])} of {new_tokens} tokens: the model cannot be measured so")
    return seconds


def _wait_for(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
