"""The report of a pruning: the removed parts, and the predicted effect."""

from dataclasses import dataclass, field
from typing import Any

from ...system.files import in_words
from ..size import Size


@dataclass(frozen=True, slots=True)
class Pruned:
    """Report of a pruning. `before` and `after` are predictions from the configs, which match the folder's files."""

    removed: str
    before: Size
    after: Size
    details: dict[str, Any] = field(default_factory=dict)  # ready for JSON; described by the functions that fill it

    @property
    def speedup(self) -> float:
        """Predicted tokens per second relative to before, for one sequence limited by reading the weights."""
        return self.before.read / self.after.read

    def as_text(self) -> str:
        """A line for people."""
        before, after = self.before, self.after
        return (
            f"{self.removed}: {before.parameters / 1e6:,.1f} to {after.parameters / 1e6:,.1f} million parameters "
            f"({after.parameters / before.parameters - 1:+.0%}), {in_words(before.bytes)} to {in_words(after.bytes)}, "
            f"{in_words(before.read)} to {in_words(after.read)} read for a token: up to {self.speedup:.2f} times as "
            "fast"
        )
