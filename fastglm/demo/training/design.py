"""The differences between the trainings of the embedded models."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from ...models.language_model import LanguageModel
from ...models.packing import Batch, fill
from ...train.learner import Learner
from ..examples import encoded
from ..skills import Sample, Skill
from .plan import Plan


class Design(ABC):
    """The tokenizer, the model and the loss of one embedded model."""

    command: ClassVar[str]  # `fastglm train …`
    options: ClassVar[str] = ""  # of the command, each with a space before it
    card: ClassVar[str]  # file of the template of its model card
    dtype: ClassVar[torch.dtype]  # of the published weights
    skills: ClassVar[Sequence[Skill]]
    plan: ClassVar[Plan]

    @abstractmethod
    def write_tokenizer(self, out: Path, seed: int, plan: Plan) -> None:
        """Write the tokenizer's files into `out`."""

    @abstractmethod
    def read_tokenizer(self, out: Path) -> Any:
        """The tokenizer that was written into `out`."""

    @abstractmethod
    def model(self, plan: Plan, tokenizer: Any) -> LanguageModel:
        """The untrained model."""

    def learner(self, model: LanguageModel, tokenizer: Any, plan: Plan) -> Learner:
        """The model with its loss."""
        return Learner(model)

    def batch(self, tokenizer: Any, samples: Iterator[Sample], plan: Plan, model: LanguageModel) -> Batch:
        """The batch of a step."""
        examples = (encoded(tokenizer, sample, plan.row) for sample in samples)
        return fill(examples, plan.rows, plan.row, model.config)


@torch.no_grad()
def scale_branches(model: LanguageModel, factor: float) -> None:
    """Multiply the output of each residual branch of an untrained model."""
    for name, weight in model.named_parameters():
        if name.endswith((f"{model.names.attention_out}.weight", f"{model.names.mlp_out}.weight")):
            weight *= factor
