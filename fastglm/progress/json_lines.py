"""Progress for programs: one JSON object per line.

{"event": "progress", "stage": str, "done": x, "total": y, "eta": s, "note": str}   eta in seconds, null while unknown
{"event": "done", "status": "done" | "cancelled"}                                    the work ended
{"event": "error", "message": str}                                                   the work failed
"""

import json
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO

from fastglm.errors import CancelledError
from fastglm.progress.progress import Progress, TimeLeft

PAUSE = 0.2  # seconds: five lines a second about one stage are enough


class JsonLines:
    """Writes progress to standard output or another stream; the end of the block writes the outcome."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._stage: str | None = None
        self._told = 0.0
        self._left = TimeLeft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, CancelledError):
            self.say(event="error", message=" ".join([str(error), *getattr(error, "__notes__", ())]))
        else:
            self.say(event="done", status="cancelled" if error else "done")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        done, total = progress.done, progress.total
        fresh = progress.stage != self._stage
        if fresh:
            self._stage, self._left = progress.stage, TimeLeft()
        left = self._left.after(done, total)
        if not fresh and now - self._told < PAUSE and done < total:
            return
        self._told = now
        eta = None if left is None else round(left, 1)
        self.say(event="progress", stage=progress.stage, done=done, total=total, eta=eta, note=progress.note)

    def say(self, **line: Any) -> None:
        """Write a line. Raises KeyboardInterrupt if the reader is gone."""
        try:
            print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)
        except BrokenPipeError:
            raise KeyboardInterrupt from None
