"""What a variant makes of questions with known answers: its own answers, and how likely it finds the known ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ContextError
from ..models.chat import History
from ..models.checkpoint import Checkpoint
from ..models.packing import Batch, Example, encode
from ..models.source import find_source
from ..progress import OnProgress
from .answers import answers
from .divergence import divergence
from .likelihood import answer_loss, batches_of, shortest_first
from .reference import reference


@dataclass(frozen=True, slots=True)
class Judged:
    """One question: what the variant answers greedily, and figures of the known answer, summed over its tokens."""

    answer: str | None  # None where it did not come to an end
    tokens: int  # of the known answer with its <eop>
    nats: float  # cross-entropy
    kl: float | None  # nats, KL(original ‖ variant); None where the original's weights are not there
    agreed: int | None  # tokens at which variant and original would have chosen the same


def judge(
    model: Any,
    tokenizer: Any,
    questions: Sequence[tuple[History, str, str]],
    longest: int,
    progress: OnProgress | None = None,
) -> list[Judged]:
    """Asks `questions`, each a history, what is asked, and the known answer.

    The original is not loaded for the comparison: what it makes of the known answers is computed layer by layer once,
    and kept (`fastglm.evaluate.reference`).

    Args:
        longest: tokens of an answer; one that is not ended by then is None.

    Raises:
        ContextError: a question and its answer do not fit into the model's context.
        UsageError: variant and original have different vocabularies.
    """
    try:
        examples = [encode(tokenizer, *question, model.context_length) for question in questions]
    except ValueError as error:
        raise ContextError(f"{error}: leave it out, or shorten it") from error
    texts = answers(model, tokenizer, [(history, asked) for history, asked, _ in questions], longest, progress=progress)
    batches, figures = _figures(model, examples, progress)
    sums = [_by_example(batches, examples, figure) for figure in figures]
    return [
        Judged(text, len(example.targets), nats, kl, None if agreed is None else int(agreed))
        for text, example, nats, kl, agreed in zip(texts, examples, *sums, strict=True)
    ]


@torch.inference_mode()
def _figures(
    model: Any, examples: Sequence[Example], progress: OnProgress | None
) -> tuple[list[Batch], list[Tensor | None]]:
    """The examples' batches; loss, KL and agreement of every target, in their order."""
    checkpoint = Checkpoint(find_source(model.fastglm.model).fetch())
    if checkpoint.config.linear_format():  # published quantised: the weights that it was made from are not there
        batches = list(batches_of(examples, model.config.pad_token_id))
        return batches, [torch.cat([answer_loss(model, batch.to(model.device)) for batch in batches]).cpu(), None, None]
    exact = torch.float32 if model.device.type == "cpu" else torch.float16  # as `original` runs there
    kept = reference(checkpoint, examples, model.device, exact, progress)
    found = divergence(model, kept.batches, kept.best)
    return kept.batches, [found.losses, found.kl, found.agrees]


def _by_example(
    batches: Sequence[Batch], examples: Sequence[Example], figure: Tensor | None
) -> list[float] | list[None]:
    """The sums of a figure of targets, by the numbers of the examples."""
    if figure is None:
        return [None] * len(examples)
    counts = [batch.examples for batch in batches]
    owners = torch.cat([batch.example + sum(counts[:number]) for number, batch in enumerate(batches)])
    sums = torch.zeros(len(examples), dtype=torch.double).index_add_(0, owners, figure.double())
    found = torch.empty_like(sums)
    found[shortest_first(examples)] = sums  # batches hold them in that order
    return found.tolist()
