"""Learning from a corpus and from a teacher with another tokenizer and another prompt, on the same answers."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ...evaluate.likelihood import target_logits
from ...models.base import ModelConfig
from ...models.language_model import LanguageModel
from ...models.packing import Batch, Example, pack
from ...train.learner import Learner


@dataclass(frozen=True, slots=True)
class TaughtExample(Example):
    """An example, and the same one for the teacher; None where the teacher cannot know the answer.

    The last targets of both stand for the same pieces.
    """

    taught: Example | None


@dataclass(frozen=True, slots=True)
class TaughtBatch(Batch):
    """A batch beside its teacher's."""

    teacher: Batch
    source: Tensor  # [targets], the number of the same target in the teacher's batch; -1 where there is none

    def to(self, device: torch.device | str) -> Self:
        """Move to another device, with the teacher's batch."""
        moved = Batch.to(self, device)
        object.__setattr__(moved, "teacher", self.teacher.to(device))
        return moved

    def part(self, number: int, of: int) -> "TaughtBatch":
        """Every `of`-th row from `number` on, beside the whole batch of the teacher."""
        found = Batch.part(self, number, of)
        mine = self.predicting // self.input_ids.shape[1] % of == number
        values = {each.name: getattr(found, each.name) for each in fields(found)}
        return TaughtBatch(**{**values, "source": self.source[mine]})


def beside_teacher(batch: Batch, examples: Sequence[TaughtExample], length: int, teacher: ModelConfig) -> TaughtBatch:
    """Put the teacher's batch, in rows of `length` tokens, beside that of `examples`."""
    numbers = [number for number, example in enumerate(examples) if example.taught]
    packed = pack([taught for example in examples if (taught := example.taught)], length, teacher)
    source = torch.full_like(batch.targets, -1)
    for place, number in enumerate(numbers):
        theirs = (packed.example == place).nonzero().flatten()
        mine = (batch.example == number).nonzero().flatten()
        source[mine[-len(theirs) :]] = theirs
    values = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return TaughtBatch(**values, teacher=packed, source=source)


class TaughtLearner(Learner):
    """Learns the right answers, and a teacher's predictions of each of their pieces."""

    def __init__(self, model: LanguageModel, teacher: LanguageModel, ids: Tensor, weight: float) -> None:
        """Set up a learner.

        Args:
            ids: by id of the model, the teacher's id of the same piece, or -1.
            weight: of the KL to the teacher's predictions; the rest is the weight of the cross-entropy.
        """
        super().__init__(model)
        self.teachers = (teacher.eval().requires_grad_(False),)  # in a tuple, so that it is not trained or saved
        self._mine = (ids >= 0).nonzero().flatten().to(teacher.device)
        self._theirs = ids.to(teacher.device)[self._mine]
        self._weight = weight

    def forward(self, batch: Batch) -> Tensor:
        """The mean loss of a batch's targets, in nats; targets unknown to the teacher have the cross-entropy alone."""
        found, targets = _predictions(self.model, batch)
        losses = F.nll_loss(found, targets, reduction="none")
        if not isinstance(batch, TaughtBatch):
            return losses.mean()
        has_teacher = batch.source >= 0
        with torch.no_grad():
            wanted, _ = _predictions(self.teachers[0], batch.teacher)
            wanted = wanted[batch.source[has_teacher]][:, self._theirs].log_softmax(-1)
        distances = F.kl_div(found[has_teacher][:, self._mine], wanted, reduction="none", log_target=True).sum(-1)
        return (losses.sum() + self._weight * (distances - losses[has_teacher]).sum()) / len(losses)


def _predictions(model: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log-probabilities [targets, vocabulary] in fp32, and the targets.

    A CPU that multiplies bfloat16 does so; in the steps of this training that takes 0.6 of the time of fp32.
    """
    is_cpu = batch.input_ids.device.type == "cpu"
    with torch.autocast("cpu", torch.bfloat16, enabled=is_cpu and torch.cpu._is_avx512_bf16_supported()):
        ((logits, targets),) = target_logits(model, batch, at_once=len(batch.targets))
    return F.log_softmax(logits.float(), -1), targets
