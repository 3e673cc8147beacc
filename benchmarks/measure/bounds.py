"""One measured number with its claimed bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.measure import statistics
from benchmarks.measure.statistics import Estimate
from benchmarks.measure.wording import size


@dataclass(frozen=True, slots=True)
class ClaimedFigure:
    """A number with its unit, number of repeats and 95 % interval; `least` and `most` if bounds are claimed.

    Raises `ValueError` for impossible values.
    """

    value: float
    unit: str = ""
    what: str = ""  # name of the part, if there are several figures
    n: int = 1
    low: float | None = None  # None if one repeat cannot show the spread
    high: float | None = None
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "least", "most"):
            number = getattr(self, name)
            if number is None and name != "value":
                continue
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise ValueError(f"{name} is no finite number ({number!r})")
        if not isinstance(self.unit, str) or not isinstance(self.what, str) or not isinstance(self.n, int):
            raise ValueError("unit and what are texts, n is a whole number")
        if (self.low is None) != (self.high is None) or (self.low or 0) > (self.high or 0):
            raise ValueError(f"low and high do not form an interval ({self.low}, {self.high})")

    @property
    def kept(self) -> bool | None:
        """Tell whether the value is within its bounds; None without bounds."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def shown_unit(self) -> str:
        """The most readable unit."""
        return self._size[1]

    def number(self, unit: bool = True) -> str:
        """For people: `1.97 × (1.95 – 2.03)`, or without its unit."""
        factor, shown = self._size
        found = f"{_digits(self.value * factor)} {shown if unit else ''}".rstrip()
        if self.low is None or self.high is None:
            return found
        return f"{found} ({_digits(self.low * factor)} – {_digits(self.high * factor)})"

    @property
    def text(self) -> str:
        """The number with its name: `int8 1.97 × (1.95 – 2.03)`."""
        return f"{self.what} {self.number()}".lstrip()

    @property
    def _size(self) -> tuple[float, str]:
        return (100, "%") if self.unit == "fraction" else size(self.value, self.unit)


def times(ratio: Estimate, what: str = "", least: float | None = None, most: float | None = None) -> ClaimedFigure:
    """A ratio."""
    return ClaimedFigure(ratio.value, "×", what, ratio.n, ratio.low, ratio.high, least, most)


def within(ratio: Estimate, share: float) -> ClaimedFigure:
    """A ratio that should be 1, plus or minus `share`."""
    return times(ratio, least=1 - share, most=1 + share)


def count(hits: int, n: int, least: int | None = None, most: int | None = None) -> ClaimedFigure:
    """`hits` of `n`, with the interval of their share."""
    found = statistics.share(hits, n)
    assert found.low is not None
    assert found.high is not None
    return ClaimedFigure(hits, f"of {n}", "", n, found.low * n, found.high * n, least, most)


def kept(figures: Sequence[ClaimedFigure]) -> bool | None:
    """Tell whether all figures with bounds are within them; None if none has bounds."""
    judged = [figure.kept for figure in figures if figure.kept is not None]
    return all(judged) if judged else None


def text(figures: Sequence[ClaimedFigure]) -> str:
    """Figures in a row, with the number of repeats behind the intervals: `1.1 × (1.05 – 1.12), n 11`."""
    said = ", ".join(figure.text for figure in figures)
    repeats = sorted({figure.n for figure in figures if figure.low is not None})
    if not repeats:
        return said
    return f"{said}, n {repeats[0]}" + (f" to {repeats[-1]}" if len(repeats) > 1 else "")


def _digits(value: float) -> str:
    """Format up to four significant digits, without inventing any."""
    return f"{value:,.0f}" if abs(value) >= 1000 else format(Decimal(f"{value:.4g}"), "f")
