"""One loaded variant in a process of its own (`fastglm.hosting.worker`), and the queue of the answers asked of it.

So a page never freezes, a crash in a kernel ends one host and not the app, and memory is truly given back.
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
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from fastglm.errors import CancelledError, FastGLMError, HostError
from fastglm.history import as_history
from fastglm.hosting.answer import Answer
from fastglm.hosting.lease import lease
from fastglm.hosting.spawn import Launch, Process, forked, launched
from fastglm.hosting.sweep import sweep
from fastglm.hosting.worker import HostInfo
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system.home import folder, writing
from fastglm.system.locks import lock_while_open
from fastglm.system.memory import Memory

__all__ = ["Answer", "Host", "HostInfo", "HostKey", "Memory"]

LAUNCH: Launch = forked if sys.platform == "linux" else launched

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HostKey:
    """What a host has loaded, as it was asked for."""

    model: str = "demo"
    variant: str = "original"
    device: str = "auto"
    dtype: str = "auto"
    cache: str = "auto"

    def __str__(self) -> str:
        return f"{self.model} as {self.variant}"


class Host:
    """A process that holds one loaded variant, and the queue of the answers asked of it, first come, first served.

    Its methods may be called from any thread. As a context manager it closes at the end.
    """

    info: HostInfo
    threads: int  # that PyTorch's operators use in the process

    def __init__(self, key: HostKey, launch: Launch | None = None) -> None:
        """An empty process; `Host.start` loads it too. `launch` starts one that talks as `fastglm.hosting.worker`
        does."""
        self.key = key
        self._log, self._process = _start(launch or LAUNCH)
        self._to_process, self._from_process = self._process.stdin, self._process.stdout
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        self._lock = threading.Condition()  # guards what follows
        self._queue: deque[Answer] = deque()
        self._current: Answer | None = None
        self._calls: dict[int, queue.SimpleQueue[tuple[str, Any]]] = {}  # what the process tells of each, by number
        self._death: FastGLMError | None = None
        self._closed = False
        self._failed = False  # then the log is kept
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
        restricted: bool = False,
        progress: OnProgress | None = None,
        threads: int | None = None,
        launch: Launch | None = None,
    ) -> Self:
        """Load a variant in a new process; the arguments are `fastglm.load`'s, `threads` is for PyTorch's operators.

        `progress` is called in this thread; an exception from it ends the process. Raises the FastGLMError that
        loading raised, HostError when the process ended, CancelledError when another thread closed the host meanwhile.
        """
        host = cls(HostKey(str(model), variant, device, dtype, cache), launch)
        host._load(restricted, progress, threads)
        return host

    @property
    def alive(self) -> bool:
        return self._death is None and self._process.poll() is None

    def ask(
        self,
        prompt: str | list[int],
        history: Any = None,
        *,
        lease: bool = True,
        **settings: Any,
    ) -> Answer:
        """Queue a request; returns at once. `settings` are those of `fastglm.stream`.

        Without `lease` the answer does not wait for the device: for one who has it alone already.
        On a dead host the answer fails. Raises UsageError: the history is in no form of `fastglm.history`.
        """
        answer = Answer((next(self._numbers), prompt, as_history(history), settings), lease, self._ahead, self._cancel)
        with self._lock:
            if self._death is None:
                self._queue.append(answer)
                self._lock.notify_all()
                return answer
        answer._finish(self._death)
        return answer

    def memory(self) -> Memory:
        """What the process takes now, and at most. Raises HostError when it ends; blocks while it is paused."""
        return self._call("memory")

    def reset_peak(self) -> bool:
        """Let the peak of `memory` start anew; returns whether the system can do that."""
        return self._call("reset_peak")

    def apply(self, function: Callable[..., T], *arguments: Any, progress: OnProgress | None = None) -> T:
        """What `function(model, tokenizer, *arguments, progress=…)` returns, called in the process, between answers.

        `function` is one that the process can import. `progress` is called in this thread; an exception from it leaves
        the process at work. Raises the FastGLMError that the function raised, HostError when it raised anything else or
        the process ended.
        """
        return self._call("apply", function, arguments, progress=progress)

    def pause(self) -> None:
        """Stop the process until `resume`, so that its threads take nothing from another's times (not on Windows)."""
        self._signal("SIGSTOP")

    def resume(self) -> None:
        self._signal("SIGCONT")

    def close(self) -> None:
        """End the process, which frees its memory, and fail what is asked of it. Can be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._process.kill()  # it has nothing to save
        self._listener.join()
        for pipe in (self._to_process, self._from_process):
            with contextlib.suppress(OSError):  # what was not yet sent
                pipe.close()
        if not self._failed:
            with contextlib.suppress(OSError):
                self._log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self, restricted: bool, progress: OnProgress | None, threads: int | None) -> None:
        key = self.key
        try:
            if progress:
                progress(Progress("start", 0, 0))
            wanted = (key.model, key.variant, key.device, key.dtype, key.cache, restricted, threads)
            self.info, self.threads = self._call("load", *wanted, progress=progress)
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._work, name=f"answers of {self.key}", daemon=True).start()

    # The two threads: one hands the answers to the process, one listens to it.

    def _work(self) -> None:
        """One answer after the other, each with its share of the device."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._queue or self._death)
                if self._death:
                    return
                answer = self._current = self._queue.popleft()
            try:
                with self._leased(answer):
                    answer._begin()
                    self._send("ask", *answer._request)
                    answer.wait()
            except FastGLMError as error:
                answer._finish(error)
            except Exception as error:  # whatever it is: the answer ends, and the next one has its turn
                answer._finish(HostError(f"Asking {self.key} failed unexpectedly ({type(error).__name__}: {error})."))
            with self._lock:
                self._current = None

    def _leased(self, answer: Answer) -> contextlib.AbstractContextManager[None]:
        if not answer._leased:
            return contextlib.nullcontext()
        return lease(self.info.device, f"an answer of {self.key}", on_wait=answer._wait_for_device)

    def _listen(self) -> None:
        """Take the replies apart until the process ends, then tell everyone who waits for it."""
        with contextlib.suppress(Exception):  # its end, or a reply that cannot be read
            while True:
                match pickle.load(self._from_process):
                    case ("piece", keep, new, *rest) if self._current:
                        self._current._add(keep, new, tuple(rest))
                    case ("end", failure, memory) if self._current:
                        self._current._finish(failure and self._with_log(failure), memory)
                    case ("progress" | "failed" | "reply" as kind, number, value) if call := self._calls.get(number):
                        call.put((kind, value))
        self._process.kill()  # where it only closed its output
        death = self._explained(self._process.wait())
        with self._lock:
            self._death = death
            answers = [*filter(None, [self._current]), *self._queue]
            calls = list(self._calls.values())
            self._queue.clear()
            self._lock.notify_all()
        for answer in answers:
            answer._finish(death)
        for call in calls:
            call.put(("ended", death))

    def _explained(self, status: int) -> FastGLMError:
        """Why the process is no more, in a line."""
        if self._closed and not hasattr(self, "info"):
            return CancelledError(f"Loading {self.key} was stopped.")
        if self._closed:
            return HostError(f"The process that ran {self.key} was closed: ask again to start it anew.")
        if status == -9:
            how = "signal 9, which systems send when memory runs out"
        elif status < 0:
            how = f"signal {-status}"
        else:
            how = ": ".join(filter(None, (f"exit status {status}", _last_line(self._log))))
        return self._with_log(HostError(f"The process that ran {self.key} ended ({how}): ask again to start it anew."))

    def _with_log(self, error: FastGLMError) -> FastGLMError:
        """An unexpected error with the place of the log, which is kept then."""
        if not isinstance(error, HostError):
            return error
        self._failed = True
        return HostError(f"{error} The log: {self._log}")

    def _ahead(self, answer: Answer) -> int:
        with self._lock:
            if answer not in self._queue:
                return 0
            return self._queue.index(answer) + (self._current is not None)

    def _cancel(self, answer: Answer) -> None:
        with self._lock:
            queued = answer in self._queue
            if queued:
                self._queue.remove(answer)
        if queued:
            answer._finish(CancelledError("stopped"))
        elif answer._stop():
            self._send("cancel", answer._request[0])

    def _call(self, name: str, *arguments: Any, progress: OnProgress | None = None) -> Any:
        """What the process replies; its failures are raised and its progress is told in this thread."""
        call: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        number = next(self._numbers)
        with self._lock:
            if self._death:
                raise self._death.with_traceback(None)
            self._calls[number] = call
        try:
            self._send(name, number, *arguments)
            while True:
                match _get(call):
                    case ("progress", now):
                        if progress:
                            progress(now)
                    case ("failed", error):
                        raise self._with_log(error)
                    case ("ended", death):
                        raise death.with_traceback(None)
                    case (_, reply):
                        return reply
        finally:
            with self._lock:
                del self._calls[number]

    def _send(self, *request: Any) -> None:
        data = pickle.dumps(request)
        with self._sending, contextlib.suppress(OSError, ValueError):  # the listener tells of the end
            self._to_process.write(data)
            self._to_process.flush()

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self.alive:
            self._process.send_signal(getattr(signal, name))


def _start(launch: Launch) -> tuple[Path, Process]:
    """The log and the process. Raises HomeError, HostError: they cannot be begun."""
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


def _last_line(log: Path) -> str:
    """Of a traceback, the line that says what happened."""
    lines = []
    with contextlib.suppress(OSError):  # it was removed
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _get(messages: "queue.SimpleQueue[tuple[str, Any]]") -> tuple[str, Any]:
    """The next message; in short waits, so that Ctrl-C is heard on Windows too."""
    while True:
        with contextlib.suppress(queue.Empty):
            return messages.get(timeout=0.5)
