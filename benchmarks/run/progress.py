"""Progress of a benchmark: JSON lines for programs, a bar for people.

The JSON lines, on standard output, one object a line:
    {"event": "run", "id": str}                                             once, first (with --ray, for each machine)
    {"event": "estimate", "repeat": s, "repeats": [n, n], "seconds": [s, s]}  one repeat; all, at least and at most
    {"event": "progress", "stage": str, "done": x, "total": y, "eta": s}    eta in seconds, null while unknown
    {"event": "warning", "message": str}                                    a variant failed, the run goes on
    {"event": "done", "run": id, "status": "done" | "cancelled" | "failed"} the run ended
    {"event": "error", "message": str}                                      no run, it broke, or it could not be stored
"""

import sys
import time
from typing import Protocol, TextIO

from tqdm import tqdm

from fastglm.progress.bar import Bar
from fastglm.progress.json_lines import PAUSE, JsonLines
from fastglm.progress.progress import Progress, Show, TimeLeft


class Reporter(Protocol):
    """Receives the progress of a run."""

    def run(self, run: str) -> None:
        """The run has this id."""

    def plan(self, steps: int) -> None:
        """The run has this number of steps; called again when the number changes."""

    def estimate(self, each: float, least: int, most: int) -> None:
        """Between `least` and `most` repeats are to come, each of about `each` seconds."""

    def at(self, stage: str, part: float = 0.0) -> None:
        """The current step, and the share of it that is done."""

    def step(self) -> None:
        """One step is done."""

    def warning(self, message: str) -> None:
        """A part failed, and the run goes on."""

    def done(self, run: str, status: str) -> None:
        """The run ended."""

    def error(self, message: str) -> None:
        """There was no run, or it broke."""


class JsonReporter:
    """Writes JSON lines."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._lines = JsonLines(stream)
        self._told = 0.0
        self._left = TimeLeft()
        self._steps = self._done = 0
        self._stage = ""

    def run(self, run: str) -> None:
        self._lines.say(event="run", id=run)

    def plan(self, steps: int) -> None:
        self._steps = steps
        self._left.after(self._done, steps)  # the stage begins now

    def estimate(self, each: float, least: int, most: int) -> None:
        seconds = [round(each * least, 1), round(each * most, 1)]
        self._lines.say(event="estimate", repeat=round(each, 3), repeats=[least, most], seconds=seconds)

    def at(self, stage: str, part: float = 0.0) -> None:
        if stage == self._stage and time.monotonic() - self._told < PAUSE:
            return
        self._stage, self._told = stage, time.monotonic()
        done = min(self._done + part, self._steps)
        left = self._left.after(done, self._steps)
        eta = None if left is None else round(left, 1)
        self._lines.say(event="progress", stage=stage, done=round(done, 3), total=self._steps, eta=eta)

    def step(self) -> None:
        self._done += 1
        self._told = 0.0
        self.at(self._stage)

    def warning(self, message: str) -> None:
        self._lines.say(event="warning", message=message)

    def done(self, run: str, status: str) -> None:
        self._lines.say(event="done", run=run, status=status)

    def error(self, message: str) -> None:
        self._lines.say(event="error", message=message)


class BarReporter:
    """Draws a bar on standard error."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._steps = self._done = 0
        self._stage, self._at = "", 0.0

    def run(self, run: str) -> None:
        print(f"run {run}", file=sys.stderr)

    def plan(self, steps: int) -> None:
        self._bar = self._bar or Bar()
        self._steps = steps
        self._move(self._done)

    def estimate(self, each: float, least: int, most: int) -> None:
        many = f"{least}" if least == most else f"{least} to {most}"
        long = _duration(each * least) + ("" if least == most else f" to {_duration(each * most)}")
        tqdm.write(f"repeats: {many}, about {_duration(each)} each, {long} in all", file=sys.stderr)

    def at(self, stage: str, part: float = 0.0) -> None:
        self._stage = stage
        self._move(self._done + part)

    def step(self) -> None:
        self._done += 1
        self._move(self._done)

    def warning(self, message: str) -> None:
        tqdm.write(f"warning: {message}", file=sys.stderr)

    def done(self, run: str, status: str) -> None:
        self.close()
        if status != "done":
            print(f"run {run}: {status}, what was measured is kept", file=sys.stderr)

    def error(self, message: str) -> None:
        self.close()
        print(f"error: {message}", file=sys.stderr)

    def _move(self, done: float) -> None:
        self._at = max(self._at, min(done, self._steps))  # rounded sums of parts can exceed the whole
        if self._bar is not None:
            self._bar.show(Progress(self._stage, self._at, self._steps))

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def reporter_for(show: Show) -> Reporter:
    """The reporter for a way to show progress."""
    return JsonReporter() if show is Show.json else BarReporter()
