"""How long work tells that it moves on."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

COMPILING = "compile"  # the stage of a load that takes long, and only the first time


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of a named stage; `total` is 0 where it is not known. `note`: how it is going."""

    stage: str
    done: float
    total: float
    unit: str = ""
    note: str = ""

    @property
    def fraction(self) -> float:
        """Between 0 and 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


class Show(StrEnum):
    """How a command tells it."""

    bar = "bar"
    json = "json"


OnProgress = Callable[[Progress], None]
