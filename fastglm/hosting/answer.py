"""The client's view of an answer that a host process works on."""

import threading
from collections.abc import Callable, Iterator
from typing import Literal

from fastglm.errors import CancelledError, FastGLMError
from fastglm.generation.piece import Piece
from fastglm.hosting.protocol import AskRequest, PieceReply
from fastglm.system.memory import Memory

State = Literal["queued", "waiting", "running", "done", "failed", "cancelled"]

_LOOK = 0.5  # seconds; on Windows Ctrl-C takes effect between two waits, never within one


class Answer:
    """An answer, created by `Host.ask`. Any thread may read, iterate and cancel it; each iteration starts at the first
    piece.

    Pieces are kept until the answer is dropped, so a slow reader delays nobody. They take little memory, because each
    holds only its added text.
    """

    def __init__(
        self, request: AskRequest, ahead: "Callable[[Answer], int]", cancel: "Callable[[Answer], None]"
    ) -> None:
        self.request = request
        self.state: State = "queued"  # "queued": for memory beside other answers; "waiting": for the device
        self.waiting_for = ""  # the holder of the device, while the state is "waiting"
        self.piece: Piece | None = None  # the latest piece
        self.error: str | None = None  # one line, when the state is "failed"
        self.memory: Memory | None = None  # memory of the host at the end of the answer
        self._ahead, self._cancel = ahead, cancel
        self.failure: FastGLMError | None = None  # the error, when the state is "failed"
        self._news = threading.Condition()
        self._replies: list[PieceReply] = []
        self._listeners: list[Callable[[], object]] = []
        self._is_asked = self._is_stopping = False

    @property
    def ahead(self) -> int:
        """The number of answers that must end before this one begins, while the state is "queued"."""
        return self._ahead(self)

    @property
    def over(self) -> bool:
        """Tell whether the answer is finished."""
        return self.state in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Stop the work, or give up waiting. Does nothing once the answer is over."""
        self._cancel(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the answer is over, or for `timeout` seconds; returns whether it is over."""
        with self._news:
            return self._news.wait_for(lambda: self.over, timeout)

    def __iter__(self) -> Iterator[Piece]:
        """Yield the pieces as they arrive, from the first. A cancelled answer just ends, a failed one raises
        FastGLMError.
        """
        last: Piece | None = None
        seen = 0
        while True:
            with self._news:
                while len(self._replies) == seen and not self.over:
                    self._news.wait(_LOOK)
            before = seen
            for piece in self.after(seen, last):
                last = piece
                seen += 1
                yield piece
            if seen == before:
                return

    def after(self, seen: int, last: Piece | None) -> Iterator[Piece]:
        """Yield the pieces that have come after the first `seen`, whose last is `last`, without waiting for more.

        Raises the error of a failed answer if there are none.
        """
        replies = self.replies(seen)
        for reply in replies:
            last = reply.grown(last.text if last else "")
            yield last
        if not replies and self.failure:
            raise self.failure.with_traceback(None)

    def replies(self, seen: int) -> list[PieceReply]:
        """The pieces after the first `seen`, as the process has sent them."""
        with self._news:
            return self._replies[seen:]

    def listen(self, heard: Callable[[], object]) -> None:
        """Call `heard` at each news of this answer, in the thread that brings them; once now, for those before."""
        with self._news:
            self._listeners.append(heard)
        heard()

    # The host calls the following methods.

    def wait_for(self, holder: str) -> None:
        """Note the holder of the device that the answer waits for."""
        with self._news:
            if not self.over:
                self.state, self.waiting_for = "waiting", holder

    def begin(self) -> None:
        """Note that the process is asked now. Raises CancelledError if the answer was stopped before."""
        with self._news:
            if self._is_stopping or self.over:
                raise CancelledError("Stopped.")
            self._is_asked, self.state, self.waiting_for = True, "running", ""

    def stop(self) -> bool:
        """Note that the answer must stop; returns whether the process works on it."""
        with self._news:
            self._is_stopping = True
            return self._is_asked and not self.over

    def queue(self) -> None:
        """Note that the process has no memory for the answer beside others."""
        with self._news:
            self.state = "queued"

    def add(self, reply: PieceReply) -> None:
        """Add a piece from the process."""
        with self._news:
            self._replies.append(reply)
            self.state = "running"
            self.piece = reply.grown(self.piece.text if self.piece else "")
            self._tell()

    def finish(self, failure: FastGLMError | None, memory: Memory | None = None) -> None:
        """Note that the answer is finished; CancelledError means that it was stopped."""
        with self._news:
            if self.over:
                return
            self.memory, self.waiting_for = memory, ""
            if failure is None:
                self.state = "done"
            elif isinstance(failure, CancelledError):
                self.state = "cancelled"
            else:
                self.failure, self.error, self.state = failure, str(failure), "failed"
            self._tell()

    def _tell(self) -> None:
        """Wake the threads that wait for news, and call the listeners; the lock is held."""
        self._news.notify_all()
        for heard in self._listeners:
            heard()
