"""How long work tells that it moves on."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of a named stage; `total` is 0 where it is not known."""

    stage: str
    done: float
    total: float
    unit: str = ""

    @property
    def fraction(self) -> float:
        """Between 0 and 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


OnProgress = Callable[[Progress], None]
