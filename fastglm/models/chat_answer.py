"""The computation of an answer for the published `chat`."""

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from ..errors import NumbersError


class CheckNumbers(LogitsProcessor):
    """Raises NumbersError where the largest of the scores is NaN or infinite."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores, [rows, vocabulary], as they are; input_ids: [rows, tokens]."""
        if not scores.amax().isfinite():
            raise NumbersError
        return scores


def answer_ids(
    model: Any,
    ids: list[int],
    max_length: int,
    do_sample: bool,
    top_p: float | None,
    temperature: float | None,
    logits_processor: LogitsProcessorList | None,
    **kwargs: Any,
) -> list[int]:
    """The answer to a prompt of ids by transformers' `generate`, with the token that ends it.

    Args:
        max_length: of prompt and answer together, in tokens.
        temperature: 0 is greedy, as `do_sample=False` is.
        kwargs: further arguments of `generate`.

    Raises:
        NumbersError: the model's logits are NaN or infinite.
    """
    if not do_sample or temperature == 0:
        do_sample, top_p, temperature = False, None, None  # as transformers wants it
    if "max_new_tokens" not in kwargs:
        kwargs["max_length"] = max(min(max_length, model.context_length), len(ids) + 1)
    output = model.generate(
        torch.tensor([ids], device=model.device),
        do_sample=do_sample,
        top_p=top_p,
        temperature=temperature,
        logits_processor=LogitsProcessorList([*(logits_processor or []), CheckNumbers()]),
        **kwargs,
    )
    return output[0, len(ids) :].tolist()
