"""Unfinished answers: they belong to the server, not to a page's run, which only draws them."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from dashboard.session.state import Figures
from fastglm.errors import CancelledError, FastGLMError, MemoryShortError
from fastglm.generation.piece import Piece
from fastglm.hosting.answer import Answer
from fastglm.hosting.host import Host
from fastglm.hosting.lease import lease
from fastglm.hosting.pool import Pool
from fastglm.hosting.protocol import HostKey
from fastglm.messages import Message, ToolCall
from fastglm.progress.progress import Progress
from fastglm.serve.record import server_of
from fastglm.serve.shared_host import SharedHost

State = Literal["loading", "warming", "queued", "waiting", "running", "done", "failed", "cancelled"]
WARM_UP_TOKENS = 4
_LOOK = 0.2  # seconds between two looks at a server that loads the variant
log = logging.getLogger(__name__)


class Turn:
    """One answer of one variant, from loading the variant to the last token."""

    def __init__(self, pool: Pool, user: str, key: HostKey, prompt: str, history: list[Message], **settings: Any):
        self.key, self.user, self.prompt = key, user, prompt
        self.progress: Progress | None = None
        self.piece: Piece | None = None
        self.memory = 0  # bytes, known once the answer ended
        self.failure: Exception | None = None
        self.served = False  # by a running server, which has loaded the variant or does so
        self.beside = False  # beside a running server, where it was to be alone on the device
        self._pool, self._history, self._settings = pool, history, settings
        self._state: State = "loading"
        self._waiting_for = ""
        self._answer: Answer | None = None
        self._cancelled = threading.Event()

    @property
    def state(self) -> State:
        """State of the answer; "waiting" is for the device, "queued" for memory beside other answers."""
        if self._state == "running" and self._answer is not None and self._answer.state in ("queued", "waiting"):
            return self._answer.state
        return self._state

    @property
    def ended(self) -> bool:
        """Tell whether the answer is finished."""
        return self._state in ("done", "failed", "cancelled")

    @property
    def error(self) -> str | None:
        """One line with the reason why the answer failed."""
        if self.failure is None:
            return None
        if isinstance(self.failure, OSError) and self.failure.strerror:
            return ": ".join(str(part) for part in (self.failure.filename, self.failure.strerror) if part)
        return str(self.failure) if isinstance(self.failure, FastGLMError) else repr(self.failure)

    @property
    def ahead(self) -> int:
        """The number of answers before this one."""
        return self._answer.ahead if self._answer is not None else 0

    @property
    def waiting_for(self) -> str:
        """The holder of the device that this answer waits for."""
        return self._waiting_for or (self._answer.waiting_for if self._answer is not None else "")

    @property
    def text(self) -> str:
        """The text so far."""
        return self.piece.text if self.piece else ""

    @property
    def call(self) -> ToolCall | None:
        """The call of a tool, once the answer has ended with one."""
        return self.piece.call if self.piece else None

    @property
    def figures(self) -> Figures | None:
        """The figures so far; None before the first token."""
        if (piece := self.piece) is None:
            return None
        return Figures(
            piece.tokens,
            piece.ttft,
            piece.decode_rate,
            self.memory,
            piece.rounds_left_out,
            piece.stop,
            piece.acceptance,
            piece.context_full,
        )

    def start(self, on_end: Callable[["Turn"], None]) -> "Turn":
        """Answer in the background and call `on_end` there, before the answer is seen as ended."""

        def work() -> None:
            self._end(self._run(alone=False), on_end)

        try:
            threading.Thread(target=work, name="turn", daemon=True).start()
        except RuntimeError as error:  # the system gives no more threads
            self.failure = error
            self._end("failed", on_end)
        return self

    def fail(self, error: Exception) -> None:
        """End an answer that no thread works on any more."""
        self.failure, self._state = error, "failed"

    def cancel(self) -> None:
        """Stop the answer; its text so far stays."""
        self._cancelled.set()
        if (answer := self._answer) is not None:
            answer.cancel()

    def run_alone(self) -> None:
        """Load the variant and answer alone on the device and after a warm-up, for measuring."""
        self._state = self._run(alone=True)

    def _end(self, ended: State, on_end: Callable[["Turn"], None]) -> None:
        try:
            on_end(self)
        except Exception as error:
            log.exception("an answer could not be put away")
            self.failure, ended = self.failure or error, "failed"
        self._state = ended

    def _run(self, alone: bool) -> State:
        self._state, self.failure = "loading", None
        try:
            host = self._open()
            if alone:
                with self._device(host):
                    self._state = "warming"
                    self._follow(host.ask("1", lease=False, do_sample=False, max_new_tokens=WARM_UP_TOKENS), show=False)
                    self._state = "running"
                    self._follow(host.ask(self.prompt, self._history, lease=False, **self._settings))
            else:
                self._state = "running"
                self._follow(host.ask(self.prompt, self._history, **self._settings))
            return "done"
        except CancelledError:
            return "cancelled"
        except Exception as error:
            if not isinstance(error, FastGLMError):
                log.exception("an answer failed")
            self.failure = error
            return "failed"
        finally:
            if server_of(self.key):  # no second copy of its weights is kept
                self._pool.release_all(self.user)

    def _open(self) -> Host | SharedHost:
        """The host that answers: that of a server if one has the variant, otherwise one of this app."""
        while record := server_of(self.key):
            self.served, served = True, SharedHost(record)
            if served.is_ready:
                return served
            time.sleep(_LOOK)
            self._stop_if_cancelled()
        self.served = False
        host = self._pool.get(self.key, self.user, restricted=True, progress=self._on_progress)
        self._stop_if_cancelled()
        return host

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress
        self._stop_if_cancelled()  # the variant goes on loading for the next question

    def _follow(self, answer: Answer, show: bool = True) -> None:
        self._answer = answer
        if self._cancelled.is_set():
            answer.cancel()
        try:
            for piece in answer:
                if show:
                    self.piece = piece
        finally:
            self.memory = answer.memory.current if answer.memory else self.memory
        self._stop_if_cancelled()

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError("stopped")

    @contextmanager
    def _device(self, host: Host | SharedHost) -> Iterator[None]:
        """The device for this answer alone, or beside the servers that hold it for good."""
        if isinstance(host, SharedHost):
            self.beside = True
            yield
            return

        def wait(holder: str) -> None:
            self._state, self._waiting_for = "waiting", holder
            self._stop_if_cancelled()

        with lease(host.info.device, "compare", exclusive=True, on_wait=wait, beside=True) as found:
            self.beside = found is not None
            self._waiting_for = ""
            yield


class Comparison:
    """One prompt for two variants: one after another, each alone on the device, or both at once (a race)."""

    def __init__(
        self, left: Turn, right: Turn, race: bool, release: Callable[[str], None], on_end: Callable[[], None]
    ) -> None:
        self.turns, self.race = (left, right), race
        self._release, self._on_end = release, on_end

    @property
    def ended(self) -> bool:
        """Tell whether both answers ended."""
        return all(turn.ended for turn in self.turns)

    def start(self) -> "Comparison":
        """Answer in the background."""
        if self.race:
            for turn in self.turns:
                turn.start(lambda turn: self._on_end())
        else:
            try:
                threading.Thread(target=self._one_after_other, name="duel", daemon=True).start()
            except RuntimeError as error:  # the system gives no more threads
                self._fail(error)
        return self

    def cancel(self) -> None:
        """Stop both answers."""
        for turn in self.turns:
            turn.cancel()

    def _one_after_other(self) -> None:
        left, right = self.turns
        try:
            left.run_alone()
            right.run_alone()
            if isinstance(right.failure, MemoryShortError):  # the left one has its figures, so its host can be unloaded
                self._release(left.user)
                right.run_alone()
            self._on_end()
        except Exception as error:
            log.exception("a comparison failed")
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        for turn in self.turns:
            if not turn.ended:
                turn.fail(error)
