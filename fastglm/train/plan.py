"""What the demo model's training is made of, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

from .score import Score
from .trainer import History


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the model is and how it is trained, apart from what the user chooses."""

    vocabulary: int = 1984
    hidden: int = 256
    layers: int = 5
    heads: int = 8
    inner: int = 1024
    row: int = 256  # tokens in a row of packed samples, the most that a sample can have
    samples_per_step: int = 24
    learning_rate: float = 2.5e-3
    held_out_per_skill: int = 50


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    out: Path
    parameters: int
    history: History
    score: Score
