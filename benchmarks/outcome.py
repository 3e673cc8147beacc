"""A promise, what was measured of it, and whether it was kept."""

from dataclasses import dataclass

from benchmarks.statistics import Estimate


@dataclass(frozen=True, slots=True)
class Outcome:
    """A promise, what was measured, and whether it was kept; None where it is not made for this machine."""

    promised: str
    measured: str
    kept: bool | None

    @property
    def line(self) -> str:
        """Promised and measured, side by side."""
        verdict = {True: "kept", False: "MISSED", None: "not for this machine"}[self.kept]
        return f"{self.promised:76}  {self.measured:44}  {verdict}"


def at_least(promised: str, ratio: Estimate, bound: float) -> Outcome:
    """Kept where the value is `bound` or more."""
    return Outcome(promised, times(ratio), ratio.value >= bound)


def at_most(promised: str, ratio: Estimate, bound: float) -> Outcome:
    """Kept where the value is `bound` or less."""
    return Outcome(promised, times(ratio), ratio.value <= bound)


def within(promised: str, ratio: Estimate, share: float) -> Outcome:
    """Kept where the value is 1 give or take `share`."""
    return Outcome(promised, times(ratio), abs(ratio.value - 1) <= share)


def times(ratio: Estimate) -> str:
    """A ratio with its interval, for people."""
    if ratio.low is None:
        return f"{ratio.value:.3f} ×"
    return f"{ratio.value:.3f} × ({ratio.low:.3f} – {ratio.high:.3f}, n {ratio.n})"
