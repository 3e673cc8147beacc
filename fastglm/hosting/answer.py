"""An answer that a host process works on, as its clients see it."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

from fastglm.errors import CancelledError, FastGLMError
from fastglm.generation.piece import Piece
from fastglm.system.memory import Memory

State = Literal["queued", "waiting", "running", "done", "failed", "cancelled"]

_LOOK = 0.5  # seconds; on Windows Ctrl-C is heard between two waits, never within one


class Answer:
    """Made by `Host.ask`. Any thread may read, iterate and cancel it; each iteration starts at the first piece."""

    def __init__(
        self,
        request: tuple[Any, ...],
        leased: bool,
        ahead: "Callable[[Answer], int]",
        cancel: "Callable[[Answer], None]",
    ) -> None:
        self._request = request  # number, prompt, history, settings
        self._leased = leased  # whether it shares its device by a lease
        self.state: State = "queued"  # "waiting": for the device, which somebody has for himself
        self.waiting_for = ""  # who uses the device, while the state is "waiting"
        self.piece: Piece | None = None  # the latest
        self.error: str | None = None  # one line, when the state is "failed"
        self.memory: Memory | None = None  # of the host, when the answer was over
        self._ahead = ahead
        self._cancel = cancel
        self._failure: FastGLMError | None = None
        self._news = threading.Condition()
        self._parts: list[
            tuple[int, str, tuple[Any, ...]]
        ] = []  # of each piece: what it keeps of the last text, and adds
        self._stopping = False

    @property
    def ahead(self) -> int:
        """How many answers the host works on before this one."""
        return self._ahead(self)

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Stop the work, or give up the place in the queue. Does nothing once the answer is over."""
        self._cancel(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the answer is over, or for `timeout` seconds; returns whether it is over."""
        with self._news:
            return self._news.wait_for(lambda: self.over, timeout)

    def __iter__(self) -> Iterator[Piece]:
        """The pieces as they come, from the first. A cancelled answer just ends, a failed one raises FastGLMError."""
        text, seen = "", 0
        while True:
            with self._news:
                while len(self._parts) == seen and not self.over:
                    self._news.wait(_LOOK)
                parts = self._parts[seen:]
            for keep, new, rest in parts:
                text = text[:keep] + new
                yield Piece(text, *rest)
            seen += len(parts)
            if not parts and self._failure:
                raise self._failure.with_traceback(None)
            if not parts:
                return

    # What follows is for the host.

    def _wait_for_device(self, holder: str) -> None:
        """Called while somebody else has the device. Raises CancelledError once there is nothing to wait for."""
        with self._news:
            if self._stopping or self.over:
                raise CancelledError("Stopped.")
            self.state, self.waiting_for = "waiting", holder

    def _begin(self) -> None:
        """Called before the process is asked. Raises CancelledError where the end came first."""
        with self._news:
            if self._stopping or self.over:
                raise CancelledError("Stopped.")
            self.state, self.waiting_for = "running", ""

    def _stop(self) -> bool:
        """Remember that the answer is to be stopped; returns whether the process works on it."""
        with self._news:
            self._stopping = True
            return self.state == "running"

    def _add(self, keep: int, new: str, rest: tuple[Any, ...]) -> None:
        with self._news:
            self._parts.append((keep, new, rest))
            self.piece = Piece((self.piece.text[:keep] if self.piece else "") + new, *rest)
            self._news.notify_all()

    def _finish(self, failure: FastGLMError | None, memory: Memory | None = None) -> None:
        with self._news:
            if self.over:
                return
            self.memory, self.waiting_for = memory, ""
            if failure is None:
                self.state = "done"
            elif isinstance(failure, CancelledError):
                self.state = "cancelled"
            else:
                self._failure, self.error, self.state = failure, str(failure), "failed"
            self._news.notify_all()
