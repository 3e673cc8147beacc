"""What a variant makes of questions with known answers: its own answers, and how likely it finds the known ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..batching import shortest_first
from ..errors import ContextError
from ..models.chatglm.conversation import History
from ..models.chatglm.tokenizer import ChatGLMTokenizer
from ..models.checkpoint import Checkpoint
from ..models.packing import Batch, Example, encode
from ..models.source import find_source
from ..progress.progress import OnProgress
from ..system.devices import resolve_device
from .answers import prompt_answers
from .arithmetic import Arithmetic, arithmetic_of
from .divergence import divergence
from .likelihood import answer_losses, batches_of
from .reference import Reference

Asked = tuple[History, str, str]  # history, question, and the known answer


@dataclass(frozen=True, slots=True)
class Judged:
    """One question: the variant's greedy answer, and figures of the known answer, token by token."""

    answer: str | None  # None where it did not come to an end
    losses: tuple[float, ...]  # nats, cross-entropy of each token of the known answer and its <eop>
    kl: tuple[float, ...] | None  # nats, KL(original ‖ variant); None where the two cannot be compared
    agreed: int | None  # tokens at which variant and original would have chosen the same


@dataclass(frozen=True, slots=True)
class Findings:
    """All questions, and how the figures of the known answers came about."""

    questions: list[Judged]
    arithmetic: Arithmetic
    precision: str  # and on what
    vocabulary: int | None = None  # tokens of the variant's own vocabulary; None: the original's


def judge(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Asked],
    longest: int,
    arithmetic: Arithmetic = Arithmetic.exact,
    progress: OnProgress | None = None,
) -> Findings:
    """Asks `questions`, each a history, what is asked, and the known answer.

    The original is not loaded for the comparison: what it makes of the known answers is computed layer by layer once,
    and kept (`fastglm.evaluate.reference`). Where it is what is asked, its own answers are kept there too. A variant
    with a vocabulary of its own is not compared, nor one whose original is not there, as it was published quantised.

    Args:
        longest: tokens of an answer; one that is not ended by then is None.
        arithmetic: of the known answers' figures; the variant's own answers run as decoding does.

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
        batches = list(batches_of(examples, model.config.pad_token_id))
        judged = _judged(examples, texts, batches, answer_losses(model, batches, arithmetic), None, None)
        return Findings(judged, used, precision, own)
    kept = Reference(checkpoint, examples, longest, model.device)
    found = divergence(model, kept.batches, kept.finals(progress), kept.head, arithmetic)
    if model.fastglm.variant == "original":
        kept.keep_answers(texts)
    return Findings(_judged(examples, texts, kept.batches, found.losses, found.kl, found.agrees), used, precision)


def judge_streamed(
    model: str,
    device: str,
    questions: Sequence[Asked],
    longest: int,
    progress: OnProgress | None = None,
) -> Findings:
    """What `judge` gives for the original, without room for it: as it is kept, or else computed layer by layer.

    Raises:
        ContextError: a question and its answer do not fit into the model's context.
        CheckpointError: the checkpoint is quantised or broken, or what is kept is broken.
    """
    checkpoint = Checkpoint(find_source(model).fetch())
    tokenizer = ChatGLMTokenizer.from_pretrained(checkpoint.folder)
    examples = encoded(tokenizer, questions, checkpoint.config.max_sequence_length)
    kept = Reference(checkpoint, examples, longest, resolve_device(device))
    losses = kept.finals(progress).losses
    texts = kept.answers(tokenizer, progress)
    same = torch.ones_like(losses)
    judged = _judged(examples, texts, kept.batches, losses, torch.zeros_like(losses), same)
    return Findings(judged, Arithmetic.exact, kept.made)


def _own_vocabulary(
    model: Any, checkpoint: Checkpoint, questions: Sequence[Asked], examples: Sequence[Example]
) -> int | None:
    """How many tokens a variant knows where they are not those of its original, by number or by what they stand for."""
    if model.config.vocab_size == checkpoint.config.vocab_size:
        theirs = ChatGLMTokenizer.from_pretrained(checkpoint.folder)
        if encoded(theirs, questions, model.context_length) == list(examples):
            return None
    return int(model.config.vocab_size)


def encoded(tokenizer: Any, questions: Sequence[Asked], context: int) -> list[Example]:
    """The questions with their known answers as tokens. Raises ContextError where one does not fit into `context`."""
    try:
        return [encode(tokenizer, *question, context) for question in questions]
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
    """Question by question; the tensors are of all targets, in the order of the batches."""
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
