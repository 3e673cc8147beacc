"""Progress for programs: a JSON object a line.

{"event": "progress", "stage": str, "done": x, "total": y, "eta": s, "note": str}   eta in seconds, null if unknown
{"event": "done", "status": "done" | "cancelled"}                                    the work ended
{"event": "error", "message": str}                                                   it broke
"""

import json
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO

from fastglm.errors import CancelledError
from fastglm.progress import Progress

PAUSE = 0.2  # seconds: news of the same stage five times a second are enough


class JsonLines:
    """On standard output, or another stream; the end of the block tells how it ended."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._stage: str | None = None
        self._began = self._told = self._first = 0.0

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
        if progress.stage != self._stage:
            self._stage, self._began, self._first = progress.stage, now, progress.done
        elif now - self._told < PAUSE and progress.done < progress.total:
            return
        self._told = now
        done, total = progress.done, progress.total
        rate = (done - self._first) / (now - self._began) if now > self._began else 0.0
        eta = round((total - done) / rate, 1) if total and rate > 0 else None
        self.say(event="progress", stage=progress.stage, done=done, total=total, eta=eta, note=progress.note)

    def say(self, **line: Any) -> None:
        """Writes a line. Raises KeyboardInterrupt where whoever listened is gone."""
        try:
            print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)
        except BrokenPipeError:
            raise KeyboardInterrupt from None
