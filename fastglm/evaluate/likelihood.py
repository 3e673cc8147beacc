"""Likelihood of the right answers under a model, without generating."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batching import TOKENS_AT_ONCE, batches
from ..models.base import ModelConfig
from ..models.language_model import LanguageModel
from ..models.packing import Batch, Example, pack
from .arithmetic import Arithmetic, scoring

EXAMPLES_AT_ONCE = 32  # tokens of a batch
TARGETS_AT_ONCE = 512  # targets whose logits over the whole vocabulary are in memory at once


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Likelihood of answers after their context, each ended by <eop>."""

    nats: float  # the sum over all tokens
    tokens: int

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the mean loss."""
        return math.exp(self.loss)

    def bits_per_byte(self, texts: Sequence[str]) -> float:
        """Bits per byte of the answers' texts in UTF-8, comparable between vocabularies of any size."""
        return self.nats / math.log(2) / sum(len(text.encode()) for text in texts)


def predicting_states(model: LanguageModel, batch: Batch) -> Tensor:
    """The model's last states at the predicting tokens, [targets, hidden size]: the input of its head."""
    hidden = model.hidden_states(batch)
    return hidden.flatten(0, 1)[batch.predicting.to(hidden.device)]


def target_logits(
    model: LanguageModel, batch: Batch, *beside: Tensor, at_once: int | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Logits in fp32, [some targets, vocabulary], with these targets and their part of each tensor of `beside`.

    The head runs on the answers alone, `at_once` targets at a time (None: `TARGETS_AT_ONCE`).
    """
    tensors = (predicting_states(model, batch), batch.targets, *beside)
    for states, *others in zip(*(tensor.split(at_once or TARGETS_AT_ONCE) for tensor in tensors), strict=True):
        logits = model.head(states).float()
        yield logits, *(other.to(logits.device) for other in others)


def losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each target, in nats."""
    return F.cross_entropy(logits, targets, reduction="none")


def answer_loss(model: LanguageModel, batch: Batch) -> Tensor:
    """Cross-entropy of each target, [targets], all at once."""
    ((logits, targets),) = target_logits(model, batch, at_once=len(batch.targets))
    return losses(logits, targets)


@torch.inference_mode()
def answer_losses(model: LanguageModel, batches: Iterable[Batch], arithmetic: Arithmetic = Arithmetic.exact) -> Tensor:
    """`answer_loss` of all batches on the CPU, a part of the logits in memory at a time."""
    found = []
    with scoring(model, arithmetic):
        for batch in batches:
            parts = target_logits(model, batch.to(model.device))
            found += [losses(logits, targets).cpu() for logits, targets in parts]
    return torch.cat(found)


def likelihood(
    model: LanguageModel, examples: Sequence[Example], arithmetic: Arithmetic = Arithmetic.exact
) -> Likelihood:
    """The likelihood of the examples' answers."""
    found = answer_losses(model, batches_of(examples, model.config), arithmetic)
    return Likelihood(found.double().sum().item(), len(found))


def batches_of(
    examples: Sequence[Example], config: ModelConfig, tokens: int = TOKENS_AT_ONCE, most: int = EXAMPLES_AT_ONCE
) -> Iterator[Batch]:
    """The examples in batches of about equal lengths, in the order that `batches` gives."""
    lengths = [len(example.tokens) for example in examples]
    for numbers in batches(lengths, tokens, most):
        yield pack([examples[number] for number in numbers], lengths[numbers[-1]], config)
