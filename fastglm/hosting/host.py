"""A loaded variant in a process of its own (`fastglm.hosting.worker`), and requests to it.

A page therefore never freezes, a crash in a kernel ends one host and not the app, and memory is really freed.
"""

import contextlib
import itertools
import pickle
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from fastglm.errors import CancelledError, FastGLMError, HostError
from fastglm.hosting import protocol
from fastglm.hosting.answer import Answer
from fastglm.hosting.device_share import DeviceShare
from fastglm.hosting.protocol import (
    EndReply,
    FailureReply,
    HostInfo,
    HostKey,
    PieceReply,
    ProgressReply,
    QueuedReply,
    ResultReply,
    SlotsReply,
)
from fastglm.hosting.spawn import Launch, Process, forked, launched
from fastglm.hosting.sweep import sweep
from fastglm.messages import Message, RawText
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system.files import last_line
from fastglm.system.home import folder, writing
from fastglm.system.locks import lock_while_open
from fastglm.system.memory import Memory

LAUNCH: Launch = forked if sys.platform == "linux" else launched

T = TypeVar("T")


class Host:
    """A process that holds one loaded variant and answers several requests side by side.

    Its methods may be called from any thread. One thread reads the process's replies and passes each to its answer or
    call, without ever waiting for a reader. As a context manager it closes at the end.
    """

    info: HostInfo

    def __init__(self, key: HostKey, launch: Launch | None = None) -> None:
        """Create a host without a process, before `load`. `launch` starts a process that speaks the protocol of
        `fastglm.hosting.worker`.
        """
        self.key = key
        self.slots = 0  # answers that hold keys and values in the process
        self._log, self._process = _start(launch or LAUNCH)
        self._to_process, self._from_process = self._process.stdin, self._process.stdout
        self._ids = itertools.count()
        self._sending = threading.Lock()
        self._lock = threading.Lock()  # guards the following attributes
        self._answers: dict[int, Answer] = {}  # unfinished answers
        self._calls: dict[int, queue.SimpleQueue[protocol.CallReply]] = {}
        self._share: DeviceShare | None = None  # known once it is loaded
        self._death: FastGLMError | None = None
        self._closed = False
        self._failed = False  # an unexpected error keeps the log
        self._listener = threading.Thread(target=self._listen, name=f"replies of {key}", daemon=True)
        self._listener.start()

    @classmethod
    def start(
        cls,
        model: str | Path = "demo",
        variant: str = "original",
        device: str = "auto",
        dtype: str = "auto",
        *,
        cache: str = "auto",
        adapter: str | Path | None = None,
        generation: str = "auto",
        restricted: bool = False,
        progress: OnProgress | None = None,
        threads: int | None = None,
        launch: Launch | None = None,
    ) -> Self:
        """Load a variant in a new process; the arguments are those of `fastglm.load` and of `load`."""
        tuned = str(Path(adapter).expanduser().absolute()) if adapter else None
        host = cls(HostKey(str(model), variant, device, dtype, cache, tuned, generation), launch)
        host.load(restricted, progress, threads)
        return host

    def load(self, restricted: bool = False, progress: OnProgress | None = None, threads: int | None = None) -> None:
        """Have the process load the variant; `threads` is the number for PyTorch's operators.

        `progress` is called in this thread; an exception from it ends the process.

        Raises:
            FastGLMError: the error that loading raised.
            HostError: the process ended.
            CancelledError: another thread closed the host meanwhile.
        """
        try:
            if progress:
                progress(Progress("start", 0, 0))
            self.info = self._call(protocol.LoadRequest(next(self._ids), self.key, restricted, threads), progress)
        except BaseException:
            self.close()
            raise
        with self._lock:
            if self._death is None:
                self._share = DeviceShare(self.info.device, f"an answer of {self.key}", self._hand_over)

    @property
    def alive(self) -> bool:
        return self._death is None and self._process.poll() is None

    @property
    def running(self) -> int:
        """The number of unfinished answers whose first token is known."""
        return sum(answer.piece is not None for answer in self._open())

    @property
    def waiting(self) -> int:
        """The number of answers without a token: they wait for the device, for memory, or for their turn to be read."""
        return sum(answer.piece is None for answer in self._open())

    def _open(self) -> list[Answer]:
        """The unfinished answers."""
        with self._lock:
            return list(self._answers.values())

    def ask(
        self,
        prompt: str | Message | RawText | list[int],
        history: Sequence[Message] = (),
        *,
        lease: bool = True,
        **settings: Any,
    ) -> Answer:
        """Request an answer, beside running ones; returns at once. `settings` are those of `fastglm.stream`; without an
        `owner` among them all of the prompt is read.

        Without `lease` the answer does not wait for the device: for a caller that has it alone already. On a dead host
        the answer fails.
        """
        request = protocol.AskRequest(next(self._ids), prompt, list(history), settings)
        answer = Answer(request, self._ahead, self._cancel)
        with self._lock:
            death, share = self._death, self._share
            self._answers[request.id] = answer
        if death:
            self._end(answer, death)
        elif lease and share:
            share.enter(answer)
        else:
            self._hand_over(answer)
        return answer

    def memory(self) -> Memory:
        """The process's memory now, and at its peak. Raises HostError if it ends; blocks while it is paused."""
        return self._call(protocol.MemoryRequest(next(self._ids)))

    def reset_peak(self) -> bool:
        """Start the peak of `memory` anew; returns whether the system can do so."""
        return self._call(protocol.ResetPeakRequest(next(self._ids)))

    def apply(self, function: Callable[..., T], *arguments: Any, progress: OnProgress | None = None) -> T:
        """Call `function(model, tokenizer, *arguments, progress=…)` in the process, between answers, and return its
        result.

        `function` must be importable there. `progress` is called in this thread; an exception from it leaves the
        process at work.

        Raises:
            FastGLMError: the error that the function raised.
            HostError: the function raised another error, or the process ended.
        """
        return self._call(protocol.ApplyRequest(next(self._ids), function, arguments), progress)

    def pause(self) -> None:
        """Stop the process until `resume`, so that its threads do not disturb another's times (not on Windows)."""
        self._signal("SIGSTOP")

    def resume(self) -> None:
        self._signal("SIGCONT")

    def close(self) -> None:
        """End the process, which frees its memory, and fail its open requests. Can be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._process.kill()  # it has nothing to save
        self._listener.join()
        for pipe in (self._to_process, self._from_process):
            with contextlib.suppress(OSError):  # output that was not sent yet
                pipe.close()
        if not self._failed:
            with contextlib.suppress(OSError):
                self._log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Any thread writes to the process, and one reads from it.

    def _hand_over(self, answer: Answer) -> None:
        """Send an answer's request to the process."""
        try:
            with self._sending:  # a cancellation must follow its request
                answer.begin()
                self._write(answer.request)
        except FastGLMError as error:
            self._end(answer, error)
        except Exception as error:
            failed = f"Asking {self.key} failed unexpectedly ({type(error).__name__}: {error})."
            self._end(answer, HostError(failed))

    def _cancel(self, answer: Answer) -> None:
        if answer.stop():
            self._send(protocol.CancelRequest(answer.request.id))
        elif self._share and self._share.leave(answer):
            self._end(answer, CancelledError("Stopped."))

    def _ahead(self, answer: Answer) -> int:
        others = [other for other in self._open() if other is not answer]
        queued = [other for other in others if other.state == "queued"]
        return sum(other.request.id < answer.request.id for other in queued) + (len(queued) < len(others))

    def _end(self, answer: Answer, failure: FastGLMError | None, memory: Memory | None = None) -> None:
        with self._lock:
            self._answers.pop(answer.request.id, None)
        answer.finish(failure, memory)
        if self._share:
            self._share.leave(answer)

    def _listen(self) -> None:
        """Distribute the replies until the process ends, then tell every waiting thread."""
        with contextlib.suppress(Exception):  # its end, or an unreadable reply
            while True:
                for reply in pickle.load(self._from_process):
                    self._route(reply)
        self._process.kill()  # if it only closed its output
        death = self._explained(self._process.wait())
        with self._lock:
            self._death, self.slots = death, 0
            answers, calls = list(self._answers.values()), dict(self._calls)
        if self._share:
            self._share.close()
        for answer in answers:
            self._end(answer, death)
        for id, call in calls.items():
            call.put(FailureReply(id, death))

    def _route(self, reply: protocol.Reply) -> None:
        match reply:
            case QueuedReply(id):
                if answer := self._answers.get(id):
                    answer.queue()
            case SlotsReply(count):
                self.slots = count
            case PieceReply(id):
                if answer := self._answers.get(id):
                    answer.add(reply)
            case EndReply(id, failure, memory):
                if answer := self._answers.get(id):
                    self._end(answer, failure and self._with_log(failure), memory)
            case FailureReply(id, failure):
                self._reply(FailureReply(id, self._with_log(failure)))
            case _:
                self._reply(reply)

    def _reply(self, reply: protocol.CallReply) -> None:
        if call := self._calls.get(reply.id):
            call.put(reply)

    def _explained(self, status: int) -> FastGLMError:
        """The reason for the end of the process, in one line."""
        if self._closed and not hasattr(self, "info"):
            return CancelledError(f"Loading {self.key} was stopped.")
        if self._closed:
            return HostError(f"The process that ran {self.key} was closed: ask again to start it anew.")
        if status == -9:
            how = "signal 9, which systems send when memory runs out"
        elif status < 0:
            how = f"signal {-status}"
        else:
            how = ": ".join(filter(None, (f"exit status {status}", last_line(self._log))))
        return self._with_log(HostError(f"The process that ran {self.key} ended ({how}): ask again to start it anew."))

    def _with_log(self, error: FastGLMError) -> FastGLMError:
        """Add the place of the log to an unexpected error; the log is then kept."""
        if not isinstance(error, HostError):
            return error
        self._failed = True
        return HostError(f"{error} The log: {self._log}")

    def _call(self, request: protocol.Call, progress: OnProgress | None = None) -> Any:
        """Send a request and return the result; failures are raised and progress is reported in this thread."""
        replies: queue.SimpleQueue[protocol.CallReply] = queue.SimpleQueue()
        with self._lock:
            if self._death:
                raise self._death.with_traceback(None)
            self._calls[request.id] = replies
        try:
            self._send(request)
            while True:
                match _get(replies):
                    case ProgressReply(progress=now):
                        if progress:
                            progress(now)
                    case ResultReply(result=result):
                        return result
                    case FailureReply(failure=failure):
                        raise failure.with_traceback(None)
        finally:
            with self._lock:
                del self._calls[request.id]

    def _send(self, request: protocol.Request) -> None:
        with self._sending:
            self._write(request)

    def _write(self, request: protocol.Request) -> None:
        data = pickle.dumps(request)
        with contextlib.suppress(OSError, ValueError):  # the listener reports the end
            self._to_process.write(data)
            self._to_process.flush()

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self.alive:
            self._process.send_signal(getattr(signal, name))


def _start(launch: Launch) -> tuple[Path, Process]:
    """Start the process; returns its log and itself. Raises HomeError or HostError if that fails."""
    sweep()
    started = time.strftime("%Y%m%d-%H%M%S")
    with writing():
        handle, name = tempfile.mkstemp(".log", f"host-{started}-", folder("logs"))
    with open(handle, "wb") as log:
        try:
            lock_while_open(log)
            return Path(name), launch(log)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise HostError(f"No process could be started ({error.strerror}): close other programs.") from error


def _get(replies: "queue.SimpleQueue[protocol.CallReply]") -> protocol.CallReply:
    """The next reply; in short waits, so that Ctrl-C takes effect on Windows too."""
    while True:
        with contextlib.suppress(queue.Empty):
            return replies.get(timeout=0.5)
