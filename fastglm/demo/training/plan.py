"""The plan of the demo model's training, and its result."""

from dataclasses import dataclass
from pathlib import Path

from ...train.trainer import History
from ..evaluation.open_ended import OpenReport
from ..evaluation.skills import EACH, SkillsReport


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the model and of its training, except for the user's choices."""

    vocabulary: int = 4800  # at most
    hidden: int = 256
    layers: int = 9
    heads: int = 8
    inner: int = 1024
    rows: int = 5  # rows of packed samples in a step
    row: int = 256  # tokens in a row, the longest possible sample
    learning_rate: float = 2e-3
    # The last parts of the training ask hard questions more often: start as a share of the steps, and first learning
    # rate.
    practice: tuple[tuple[float, float], ...] = ((1 / 4, 1e-3), (1 / 12, 7e-4))
    questions: int = EACH  # held-out questions of each skill, split and language at the end

    def restarts(self, steps: int) -> tuple[tuple[int, float], ...]:
        """The steps at which a part of the practice starts, each with its learning rate."""
        shares = [share for share, _ in self.practice]
        return tuple((steps - round(steps * sum(shares[part:])), rate) for part, (_, rate) in enumerate(self.practice))


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    out: Path
    parameters: int
    vocabulary: int  # pieces
    history: History
    report: SkillsReport
    open_report: OpenReport
