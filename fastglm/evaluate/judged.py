"""What a variant makes of questions with known answers: its own answers, and how likely it finds the known ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ContextError
from ..hardware import resolve_device
from ..models.chat import History
from ..models.checkpoint import Checkpoint
from ..models.packing import Batch, Example, encode
from ..models.source import find_source
from ..models.tokenizer import ChatGLMTokenizer
from ..progress import OnProgress
from .answers import prompt_answers
from .divergence import divergence
from .likelihood import answer_loss, batches_of, shortest_first
from .reference import Reference

Asked = tuple[History, str, str]  # history, question, and the known answer


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
    questions: Sequence[Asked],
    longest: int,
    progress: OnProgress | None = None,
) -> list[Judged]:
    """Asks `questions`, each a history, what is asked, and the known answer.

    The original is not loaded for the comparison: what it makes of the known answers is computed layer by layer once,
    and kept (`fastglm.evaluate.reference`). Where it is what is asked, its own answers are kept there too.

    Args:
        longest: tokens of an answer; one that is not ended by then is None.

    Raises:
        ContextError: a question and its answer do not fit into the model's context.
        UsageError: variant and original have different vocabularies.
    """
    examples = encoded(tokenizer, questions, model.context_length)
    texts = prompt_answers(model, tokenizer, [example.prompt for example in examples], longest, progress=progress)
    checkpoint = Checkpoint(find_source(model.fastglm.model).fetch())
    if checkpoint.config.linear_format():  # published quantised: the weights that it was made from are not there
        batches = list(batches_of(examples, model.config.pad_token_id))
        return _judged(examples, texts, batches, _losses(model, batches), None, None)
    kept = Reference(checkpoint, examples, longest, model.device)
    found = divergence(model, kept.batches, kept.best(progress))
    if model.fastglm.variant == "original":
        kept.keep_answers(texts)
    return _judged(examples, texts, kept.batches, found.losses, found.kl, found.agrees)


def judge_streamed(
    model: str,
    device: str,
    questions: Sequence[Asked],
    longest: int,
    progress: OnProgress | None = None,
) -> tuple[list[Judged], str]:
    """What `judge` gives for the original, without room for it: as it is kept, or else computed layer by layer.

    Returns:
        that, and in which precision and on what it was made.

    Raises:
        ContextError: a question and its answer do not fit into the model's context.
        CheckpointError: the checkpoint is quantised or broken, or what is kept is broken.
    """
    checkpoint = Checkpoint(find_source(model).fetch())
    tokenizer = ChatGLMTokenizer.from_pretrained(checkpoint.folder)
    examples = encoded(tokenizer, questions, checkpoint.config.max_sequence_length)
    kept = Reference(checkpoint, examples, longest, resolve_device(device))
    losses = torch.cat([best.losses for best in kept.best(progress)])
    texts = kept.answers(tokenizer, progress)
    judged = _judged(examples, texts, kept.batches, losses, torch.zeros_like(losses), torch.ones_like(losses))
    return judged, kept.made


def encoded(tokenizer: Any, questions: Sequence[Asked], context: int) -> list[Example]:
    """The questions with their known answers as tokens. Raises ContextError where one does not fit into `context`."""
    try:
        return [encode(tokenizer, *question, context) for question in questions]
    except ValueError as error:
        raise ContextError(f"{error}: leave it out, or shorten it") from error


@torch.inference_mode()
def _losses(model: Any, batches: Sequence[Batch]) -> Tensor:
    return torch.cat([answer_loss(model, batch.to(model.device)) for batch in batches]).cpu()


def _judged(
    examples: Sequence[Example],
    texts: Sequence[str | None],
    batches: Sequence[Batch],
    losses: Tensor,
    kl: Tensor | None,
    agrees: Tensor | None,
) -> list[Judged]:
    """Question by question; the tensors are of all targets, in the order of the batches."""
    sums = [_by_example(batches, examples, figure) for figure in (losses, kl, agrees)]
    return [
        Judged(text, len(example.targets), nats, kl, None if agreed is None else int(agreed))
        for text, example, nats, kl, agreed in zip(texts, examples, *sums, strict=True)
    ]


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
