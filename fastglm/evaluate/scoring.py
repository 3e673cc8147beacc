"""Scoring of questions with known answers: the variant's own answers, and its likelihood of the known ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..batching import shortest_first
from ..errors import ContextError
from ..messages import Message
from ..models.checkpoint import Checkpoint
from ..models.packing import Batch, Example, encode
from ..models.source import find_source
from ..models.tokenizer_files import read_tokenizer
from ..progress.progress import OnProgress
from ..system.devices import resolve_device
from .answers import prompt_answers
from .arithmetic import Arithmetic, arithmetic_of
from .divergence import divergence
from .likelihood import answer_losses, batches_of
from .reference import Reference

# A conversation that ends with a question, the known answer, and the tool that the answer calls, if any.
Asked = tuple[Sequence[Message], str] | tuple[Sequence[Message], str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """One question: the variant's greedy answer, and figures of the known answer, token by token."""

    answer: str | None  # None if it did not end by itself
    losses: tuple[float, ...]  # nats, cross-entropy of each token of the known answer and its <eop>
    kl: tuple[float, ...] | None  # nats, KL(original ‖ variant); None where the two cannot be compared
    agreed: int | None  # tokens for which variant and original have the same best choice


@dataclass(frozen=True, slots=True)
class Findings:
    """All questions, and the conditions of the known answers' figures."""

    questions: list[Judged]
    arithmetic: Arithmetic
    precision: str  # and the device
    vocabulary: int | None = None  # tokens of the variant's own vocabulary; None: the original's


def judge(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Asked],
    longest: int,
    arithmetic: Arithmetic = Arithmetic.exact,
    progress: OnProgress | None = None,
) -> Findings:
    """Score `questions`, each a conversation that ends with a question, and the known answer.

    The original is not loaded for the comparison: its states at the known answers are computed layer by layer once, and
    stored (`fastglm.evaluate.reference`). If the original itself is scored, its own answers are stored there too. A
    variant with its own vocabulary is not compared, nor one whose original was published quantized only.

    Args:
        longest: tokens of an answer; an answer that has not ended by then is None.
        arithmetic: of the known answers' figures; the variant's own answers use the arithmetic of decoding.

    Raises:
        ContextError: a question and its answer do not fit into the model's context.
    """
    examples = encoded(tokenizer, questions, model.context_length)
    texts = prompt_answers(model, tokenizer, [example.prompt for example in examples], longest, progress=progress)
    used = arithmetic_of(model, arithmetic)
    precision = f"{model.fastglm.dtype} on {model.device.type}"
    checkpoint = Checkpoint(find_source(model.fastglm.model).fetch())
    own = _own_vocabulary(model, checkpoint, questions, examples)
    if own or checkpoint.config.is_quantized:
        batches = list(batches_of(examples, model.config))
        judged = _judged(examples, texts, batches, answer_losses(model, batches, arithmetic), None, None)
        return Findings(judged, used, precision, own)
    kept = Reference(checkpoint, examples, longest, model.device)
    found = divergence(model, kept.batches, kept.finals(progress), kept.head, arithmetic)
    if model.fastglm.variant == "original" and not model.fastglm.adapter:
        kept.keep_answers(texts)
    return Findings(_judged(examples, texts, kept.batches, found.losses, found.kl, found.agrees), used, precision)


def judge_streamed(
    model: str,
    device: str,
    questions: Sequence[Asked],
    longest: int,
    progress: OnProgress | None = None,
) -> Findings:
    """The result of `judge` for the original without loading it: from its stored reference, or computed layer by layer.

    Raises:
        ContextError: a question and its answer do not fit into the model's context.
        CheckpointError: the checkpoint is quantized or broken, or the stored reference is broken.
    """
    checkpoint = Checkpoint(find_source(model).fetch())
    tokenizer = read_tokenizer(checkpoint.folder)
    examples = encoded(tokenizer, questions, checkpoint.config.context)
    kept = Reference(checkpoint, examples, longest, resolve_device(device))
    losses = kept.finals(progress).losses
    texts = kept.answers(tokenizer, progress)
    same = torch.ones_like(losses)
    judged = _judged(examples, texts, kept.batches, losses, torch.zeros_like(losses), same)
    return Findings(judged, Arithmetic.exact, kept.made)


def _own_vocabulary(
    model: Any, checkpoint: Checkpoint, questions: Sequence[Asked], examples: Sequence[Example]
) -> int | None:
    """The number of a variant's tokens if they differ from its original's, in number or meaning; otherwise None."""
    if model.config.vocab_size == checkpoint.config.vocab_size:
        theirs = read_tokenizer(checkpoint.folder)
        if encoded(theirs, questions, model.context_length) == list(examples):
            return None
    return int(model.config.vocab_size)


def encoded(tokenizer: Any, questions: Sequence[Asked], context: int) -> list[Example]:
    """The questions with their known answers as tokens. Raises ContextError if one does not fit into `context`."""
    try:
        return [encode(tokenizer, messages, answer, context, *calls) for messages, answer, *calls in questions]
    except ValueError as error:
        raise ContextError(f"{error}: leave it out, or shorten it") from error


def _judged(
    examples: Sequence[Example],
    texts: Sequence[str | None],
    batches: Sequence[Batch],
    losses: Tensor,
    kl: Tensor | None,
    agrees: Tensor | None,
) -> list[Judged]:
    """The scores by question; the tensors are of all targets, in the order of the batches."""
    each = [_by_example(batches, examples, figure) for figure in (losses, kl, agrees)]
    return [
        Judged(text, nats or (), kl, None if agreed is None else int(sum(agreed)))
        for text, nats, kl, agreed in zip(texts, *each, strict=True)
    ]


def _by_example(
    batches: Sequence[Batch], examples: Sequence[Example], figure: Tensor | None
) -> list[tuple[float, ...]] | list[None]:
    """A figure of the targets of each example, by the numbers of the examples."""
    if figure is None:
        return [None] * len(examples)
    counts = [batch.examples for batch in batches]
    owners = torch.cat([batch.example + sum(counts[:number]) for number, batch in enumerate(batches)])
    order = shortest_first([len(example.tokens) for example in examples])  # as batches hold them
    found: list[list[float]] = [[] for _ in examples]
    for owner, value in zip(owners.tolist(), figure.tolist(), strict=True):
        found[order[owner]].append(value)
    return [tuple(values) for values in found]
