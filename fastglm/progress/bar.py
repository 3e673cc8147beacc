"""Progress for people: a bar in a terminal, an occasional line in a file or a pipe."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from fastglm.progress.progress import Progress, TimeLeft

LINE_EVERY = 10.0  # seconds between two lines without a terminal
_ESTIMATING = "estimating"


class Bar:
    """A bar on standard error that disappears when closed. A file or a pipe gets a line every ten seconds instead."""

    def __init__(self, told: float | None = None) -> None:
        """Create a bar; `told` is the time of the last written line by `time.monotonic`, by default now."""
        self.told = time.monotonic() if told is None else told
        self._bar: tqdm[Any] | None = None
        self._left = TimeLeft()

    def show(self, progress: Progress) -> None:
        """Draw the present state; `total` and `stage` may change."""
        left = self._left.after(progress.done, progress.total)
        if sys.stderr.isatty():
            self._draw(progress, left)
        elif time.monotonic() - self.told >= LINE_EVERY:
            self.told = time.monotonic()
            print(_line(progress, left), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, progress: Progress, left: float | None) -> None:
        if self._bar is None:
            unit = progress.unit or "it"
            self._bar = tqdm(total=progress.total or None, unit=unit, unit_scale=unit == "B", leave=False)
        bar = self._bar
        bar.total = progress.total or None
        bar.bar_format = f"{{l_bar}}{{bar}}| {{n_fmt}}/{{total_fmt}} [{{elapsed}}<{_interval(left)}{{postfix}}]"
        if not progress.total:
            bar.bar_format = "{desc} …"
        bar.set_description(progress.stage, refresh=False)
        bar.set_postfix_str(progress.note, refresh=False)
        # Never beyond the end, which rounded sums of parts can exceed and tqdm then warns.
        bar.update(min(progress.done, progress.total or progress.done) - bar.n)


class Bars:
    """One bar per stage; the last one disappears at the end of the block."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._bar = Bar()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            self._bar.close()
            self._bar, self._stage = (
                Bar(self._bar.told),
                progress.stage,
            )  # so that short stages do not write a line each
        self._bar.show(progress)


def _line(progress: Progress, left: float | None) -> str:
    if not progress.total:
        return " · ".join(filter(None, [f"{progress.stage} …", progress.note]))
    scale, unit = (1e6, "MB") if progress.unit == "B" else (1, progress.unit)
    count = f"{progress.done / scale:,.0f} of {progress.total / scale:,.0f} {unit}".strip()
    rest = f"{_ESTIMATING} the time left" if left is None else f"{_interval(left)} left"
    return " · ".join(filter(None, [f"{progress.stage}: {progress.fraction:.0%}, {count}", rest, progress.note]))


def _interval(seconds: float | None) -> str:
    return _ESTIMATING if seconds is None else str(tqdm.format_interval(seconds))
