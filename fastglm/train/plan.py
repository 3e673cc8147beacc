"""What the demo model's training is made of, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

from ..evaluate.openended import OpenReport
from ..evaluate.skills import EACH, SkillsReport
from .trainer import History


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the model is and how it is trained, apart from what the user chooses."""

    vocabulary: int = 4800  # at most
    hidden: int = 256
    layers: int = 9
    heads: int = 8
    inner: int = 1024
    rows: int = 5  # of packed samples in a step
    row: int = 256  # tokens in a row, the most that a sample can have
    learning_rate: float = 2e-3
    practice: float = 3 / 11  # share of the steps, the last ones, that ask more often what is hard
    practice_rate: float = 1e-3  # the learning rate that they start from
    questions: int = EACH  # held-out questions of each skill, split and language that are asked at the end


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    out: Path
    parameters: int
    vocabulary: int  # pieces
    history: History
    report: SkillsReport
    open_report: OpenReport
