"""How well a model answers held-out questions, without generating: greedy decoding gives the right answer exactly
when every token of it is the best one after the right tokens before it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..models.chatglm import ChatGLMForConditionalGeneration
from .packing import Batch, Example
from .trainer import answer_loss

EXAMPLES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Score:
    """Of held-out answers."""

    loss: float  # nats per token of the answers, <eop> included
    accuracy: dict[str, float]  # share of exact greedy answers by skill
    questions: dict[str, int]  # by skill

    @property
    def perplexity(self) -> float:
        """Of the answers' tokens after their context."""
        return math.exp(self.loss)

    @property
    def overall(self) -> float:
        """Share of exact greedy answers, every question counted once."""
        right = sum(self.accuracy[skill] * count for skill, count in self.questions.items())
        return right / sum(self.questions.values())


@torch.inference_mode()
def score(
    model: ChatGLMForConditionalGeneration,
    examples: Mapping[str, Sequence[Example]],
    pack_rows: Callable[[Sequence[Example]], Batch],
) -> Score:
    """Scores `examples`, given by skill; skills without any are left out."""
    device = next(model.parameters()).device
    loss, tokens = 0.0, 0
    accuracy: dict[str, float] = {}
    for skill, questions in examples.items():
        exact = 0
        for part in _parts(questions):
            batch = pack_rows(part).to(device)
            losses, right = answer_loss(model, batch)
            wrong = torch.zeros(len(part), dtype=torch.int32, device=device)
            wrong.index_add_(0, batch.example, (~right).int())
            exact += int((wrong == 0).sum())
            loss += losses.sum().item()
            tokens += len(losses)
        if questions:
            accuracy[skill] = exact / len(questions)
    return Score(loss / tokens, accuracy, {skill: len(examples[skill]) for skill in accuracy})


def _parts(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), EXAMPLES_AT_ONCE):
        yield examples[start : start + EXAMPLES_AT_ONCE]
