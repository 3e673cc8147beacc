"""An answer that a host process works on, as its clients see it."""

import threading
from collections.abc import Callable, Iterator
from typing import Literal

from fastglm.errors import CancelledError, FastGLMError
from fastglm.generation.piece import Piece
from fastglm.hosting.protocol import AskRequest, PieceReply
from fastglm.system.memory import Memory

State = Literal["queued", "waiting", "running", "done", "failed", "cancelled"]

_LOOK = 0.5  # seconds; on Windows Ctrl-C is heard between two waits, never within one


class Answer:
    """Made by `Host.ask`. Any thread may read, iterate and cancel it; each iteration starts at the first piece.

    Pieces are kept until the answer is dropped, however slowly they are read: a slow reader holds up nobody. They take
    little room, as each holds only the text it adds.
    """

    def __init__(
        self, request: AskRequest, ahead: "Callable[[Answer], int]", cancel: "Callable[[Answer], None]"
    ) -> None:
        self.request = request
        self.state: State = "queued"  # for memory beside other answers; "waiting": for the device
        self.waiting_for = ""  # who uses the device, while the state is "waiting"
        self.piece: Piece | None = None  # the latest
        self.error: str | None = None  # one line, when the state is "failed"
        self.memory: Memory | None = None  # of the host, when the answer was over
        self._ahead, self._cancel = ahead, cancel
        self._failure: FastGLMError | None = None
        self._news = threading.Condition()
        self._replies: list[PieceReply] = []
        self._is_asked = self._is_stopping = False

    @property
    def ahead(self) -> int:
        """Answers that must be over before this one begins, while the state is "queued"."""
        return self._ahead(self)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Stop the work, or give up waiting. Does nothing once the answer is over."""
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
                while len(self._replies) == seen and not self.over:
                    self._news.wait(_LOOK)
                replies = self._replies[seen:]
            for reply in replies:
                piece = reply.grown(text)
                text = piece.text
                yield piece
            seen += len(replies)
            if not replies and self._failure:
                raise self._failure.with_traceback(None)
            if not replies:
                return

    # What follows is for the host.

    def wait_for(self, holder: str) -> None:
        """Note who has the device that the answer waits for."""
        with self._news:
            if not self.over:
                self.state, self.waiting_for = "waiting", holder

    def begin(self) -> None:
        """Note that the process is asked now. Raises CancelledError where the answer was stopped before."""
        with self._news:
            if self._is_stopping or self.over:
                raise CancelledError("Stopped.")
            self._is_asked, self.state, self.waiting_for = True, "running", ""

    def stop(self) -> bool:
        """Note that the answer is to be stopped; returns whether the process works on it."""
        with self._news:
            self._is_stopping = True
            return self._is_asked and not self.over

    def queue(self) -> None:
        """Note that the process has no memory for the answer beside others."""
        with self._news:
            self.state = "queued"

    def add(self, reply: PieceReply) -> None:
        """Take a piece that the process sent."""
        with self._news:
            self._replies.append(reply)
            self.state = "running"
            self.piece = reply.grown(self.piece.text if self.piece else "")
            self._news.notify_all()

    def finish(self, failure: FastGLMError | None, memory: Memory | None = None) -> None:
        """Note that the answer is over; CancelledError says that it was stopped."""
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
