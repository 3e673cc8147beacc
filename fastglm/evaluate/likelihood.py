"""How likely a model finds the right answers, without generating."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.chatglm.model import ChatGLMForConditionalGeneration
from ..models.packing import Batch, Example, pack
from .arithmetic import Arithmetic, scoring

# Of a batch: its activations take some hundred MB at the published width.
EXAMPLES_AT_ONCE, TOKENS_AT_ONCE = 32, 4096
TARGETS_AT_ONCE = 512  # whose logits over the whole vocabulary are in memory


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of answers after their context, each ended by <eop>."""

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
        """Of the answers' texts in UTF-8, which vocabularies of any size can be compared by."""
        return self.nats / math.log(2) / sum(len(text.encode()) for text in texts)


def predicting_states(model: ChatGLMForConditionalGeneration, batch: Batch) -> Tensor:
    """The model's last states at the tokens that predict, [targets, hidden size]: what its head is given."""
    hidden = model.transformer(batch.input_ids, batch.position_ids, batch.attention_mask).last_hidden_state
    return hidden.flatten(0, 1)[batch.predicting.to(hidden.device)]


def answer_loss(model: ChatGLMForConditionalGeneration, batch: Batch) -> Tensor:
    """Cross-entropy of each target, [targets]; the head runs on the answers alone."""
    logits = model.lm_head(predicting_states(model, batch)).float()
    return F.cross_entropy(logits, batch.targets.to(logits.device), reduction="none")


@torch.inference_mode()
def answer_losses(
    model: ChatGLMForConditionalGeneration, batches: Iterable[Batch], arithmetic: Arithmetic = Arithmetic.exact
) -> Tensor:
    """`answer_loss` of all batches on the CPU, a part of the logits in memory at a time."""
    found = []
    with scoring(model, arithmetic):
        for batch in batches:
            placed = batch.to(model.device)
            states = predicting_states(model, placed).split(TARGETS_AT_ONCE)
            for part, targets in zip(states, placed.targets.split(TARGETS_AT_ONCE), strict=True):
                logits = model.lm_head(part).float()
                found.append(F.cross_entropy(logits, targets.to(logits.device), reduction="none").cpu())
    return torch.cat(found)


def likelihood(
    model: ChatGLMForConditionalGeneration, examples: Sequence[Example], arithmetic: Arithmetic = Arithmetic.exact
) -> Likelihood:
    """The likelihood of the examples' answers."""
    losses = answer_losses(model, batches_of(examples, model.config.pad_token_id), arithmetic)
    return Likelihood(losses.double().sum().item(), len(losses))


def batches_of(examples: Sequence[Example], pad: int) -> Iterator[Batch]:
    """The examples in batches of about equal lengths, in the order of `shortest_first`."""
    part: list[Example] = []
    for number in shortest_first(examples):
        tokens = len(examples[number].tokens)
        if part and (len(part) == EXAMPLES_AT_ONCE or (len(part) + 1) * tokens > TOKENS_AT_ONCE):
            yield pack(part, len(part[-1].tokens), pad)
            part = []
        part.append(examples[number])
    if part:
        yield pack(part, len(part[-1].tokens), pad)


def shortest_first(examples: Sequence[Example]) -> list[int]:
    """The numbers of the examples in the order of their lengths."""
    return sorted(range(len(examples)), key=lambda number: len(examples[number].tokens))
