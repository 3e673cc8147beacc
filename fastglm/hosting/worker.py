"""The process that holds one loaded variant: `python -m fastglm.hosting.worker`, started and used by
`fastglm.hosting.host`.

Requests and replies are pickled on its standard input and output, which nothing else can write to. One thread reads;
the main thread loads and generates, so a cancellation takes effect at once. The end of the input means the end of the
parent, and ends this process.
"""

import _thread
import contextlib
import errno
import faulthandler
import gc
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from types import FrameType
from typing import Any, BinaryIO, Protocol

from fastglm.errors import CancelledError, DiskShortError, FastGLMError, HostError, MemoryShortError
from fastglm.generation.model_info import LoadedInfo, wants_one_thread
from fastglm.generation.piece import Piece
from fastglm.hosting.protocol import (
    ApplyRequest,
    AskRequest,
    CancelRequest,
    EndReply,
    FailureReply,
    HostInfo,
    LoadRequest,
    MemoryRequest,
    PieceReply,
    ProgressReply,
    QueuedReply,
    Reply,
    ResetPeakRequest,
    ResultReply,
    SlotsReply,
    common_length,
)
from fastglm.messages import Message, RawText
from fastglm.progress.progress import OnProgress
from fastglm.system.devices import has_failed
from fastglm.system.home import home
from fastglm.system.memory import MemoryMeter, is_out_of_memory

_SENDING_PAUSE = 0.01  # seconds, too short to be seen
_INTERRUPTS_APART = 0.02  # seconds
_WAY_OUT = "clear the conversation, or pick a smaller variant"


News = tuple[int, Piece | Exception | None]  # news of an answer: a piece, its failure, or its end


class Running(Protocol):
    """The running answers, in the interface of `fastglm.generation.streams.Streams`."""

    @property
    def alone(self) -> int | None:
        """The request that is computed alone at this moment: a signal may raise an exception into it."""

    @property
    def slots(self) -> int:
        """The number of answers that hold keys and values."""

    def add(
        self, id: int, prompt: str | Message | RawText | list[int], history: Sequence[Message] = (), **settings: Any
    ) -> None: ...

    def cancel(self, id: int) -> None: ...

    def step(self) -> Sequence[News]: ...


Load = Callable[..., tuple[Any, Any]]
MakeRunning = Callable[[Any, Any], Running]  # made from a model and its tokenizer


def serve(requests: BinaryIO, replies: BinaryIO, load: Load, make: MakeRunning) -> None:
    """Load the first request's variant, then answer for ever. Runs in the main thread."""
    worker = _Worker(requests, replies)
    signal.signal(signal.SIGINT, worker.on_interrupt)
    threading.Thread(target=worker.read, name="requests", daemon=True).start()
    if loaded := worker.load(load):
        worker.work(make(*loaded), *loaded)


def standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, reserved for requests and replies: other output goes to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


class _Replies:
    """Sends replies to the client, several at a time."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._held: list[Reply] = []
        self.sent = 0.0  # seconds, by `time.perf_counter`

    def hold(self, reply: Reply) -> None:
        """Keep a reply for the next sending."""
        with self._lock:
            self._held.append(reply)

    def send(self, *replies: Reply) -> None:
        """Send the replies that were held back, then these."""
        with self._lock:
            data = pickle.dumps([*self._held, *replies], protocol=pickle.HIGHEST_PROTOCOL)
            self._held.clear()
            self.sent = time.perf_counter()
            try:
                self._pipe.write(data)
                self._pipe.flush()
            except OSError:
                os._exit(0)  # the parent is gone


@dataclass(slots=True)
class _Asked:
    """A request with an open answer."""

    request: AskRequest
    text: str = ""  # the text so far, as the client has it
    begun: bool = False


class _Worker:
    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self._requests, self._replies = requests, _Replies(replies)
        self._meter = MemoryMeter("cpu", 0)
        self._threads = 1  # threads for work on many sequences
        self._running: Running | None = None
        self._slots = 0  # the number that the client knows
        self._interrupted = -1  # the last answer into which an exception was raised
        self._news = threading.Condition()  # guards the following attributes
        self._waiting: dict[int, Any] = {}  # requests for the main thread, in order
        self._asked: dict[int, _Asked] = {}  # running answers
        self._is_full = False  # another answer found no memory, and waits until one ends
        self._cancelled: set[int] = set()  # running answers that must stop
        self._to_interrupt: set[int] = set()  # those of them that need not finish their step

    # The following runs in the reading thread.

    def read(self) -> None:
        """Pass work to the main thread and handle other requests at once; runs in a thread of its own."""
        with contextlib.suppress(Exception):  # the parent's end, or an unreadable request
            while True:
                match pickle.load(self._requests):
                    case CancelRequest(id):
                        self._cancel(id)
                    case MemoryRequest(id):
                        self._replies.send(ResultReply(id, self._meter.read()))
                    case ResetPeakRequest(id):
                        self._replies.send(ResultReply(id, self._meter.reset_peak()))
                    case request:
                        with self._news:
                            self._waiting[request.id] = request
                            self._news.notify()
        os._exit(0)  # whatever the main thread is doing

    def _cancel(self, id: int) -> None:
        with self._news:
            waited = self._waiting.pop(id, None)
            if runs := id in self._asked:
                self._cancelled.add(id)
                self._to_interrupt.add(id)
        if waited:
            self._replies.send(EndReply(id, CancelledError("Stopped."), self._meter.read()))
        elif runs:
            threading.Thread(target=self._interrupt, args=[id], name="cancel", daemon=True).start()

    def _interrupt(self, id: int) -> None:
        """Interrupt an answer as soon as it is computed alone, even during a long prefill."""
        while id in self._to_interrupt:
            if self._running and self._running.alone == id:
                _thread.interrupt_main()
            time.sleep(_INTERRUPTS_APART)

    # The following runs in the main thread.

    def on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle `interrupt_main`, once for each answer to interrupt."""
        id = self._running.alone if self._running else None
        if id is not None and id in self._to_interrupt:
            self._to_interrupt.discard(id)
            self._interrupted = id
            raise CancelledError("Stopped.")

    def load(self, load: Load) -> tuple[Any, Any] | None:
        """Load the model and its tokenizer; returns None after a failure, which has been reported."""
        request: LoadRequest = self._next()
        key = request.key
        try:
            import torch

            if request.threads:
                torch.set_num_threads(request.threads)
            loaded = load(
                key.model,
                key.variant,
                key.device,
                key.dtype,
                cache=key.cache,
                adapter=key.adapter,
                generation=key.generation,
                restricted=request.restricted,
                progress=self._telling(request.id),
            )
            info = loaded[0].fastglm
            self._threads = torch.get_num_threads()
            if not request.threads and info.device == "cpu" and wants_one_thread(info.parameters, info.engine):
                torch.set_num_threads(1)
            self._meter = MemoryMeter(info.device, info.weights_memory)
            facts = {field.name: getattr(info, field.name) for field in fields(LoadedInfo)}
            told = HostInfo(**facts, pid=os.getpid(), threads=torch.get_num_threads())
            self._replies.send(ResultReply(request.id, told))
            return loaded
        except BaseException as error:
            self._replies.send(FailureReply(request.id, _told(error, f"Loading {key}", "pick a smaller variant")))
            return None

    def _telling(self, id: int) -> OnProgress:
        return lambda progress: self._replies.send(ProgressReply(id, progress))

    def work(self, running: Running, model: Any, tokenizer: Any) -> None:
        """Answer requests side by side. A function is applied alone, after the answers that came before it."""
        self._running = running
        while True:
            match self._next():
                case AskRequest() as request:
                    self._add(running, request)
                case ApplyRequest(id, function, arguments):
                    self._apply(id, partial(function, model, tokenizer, *arguments, progress=self._telling(id)))
                case None:
                    self._stop_cancelled(running)
                    self._advance(running)

    def _next(self) -> Any:
        """The next request in order; None if there is none and answers run."""
        with self._news:
            while True:
                request = next(iter(self._waiting.values()), None)
                if request and not (self._asked and (self._is_full or isinstance(request, ApplyRequest))):
                    del self._waiting[request.id]
                    if isinstance(request, AskRequest):
                        self._asked[request.id] = _Asked(request)
                    return request
                if self._asked:
                    return None
                self._news.wait()

    def _add(self, running: Running, request: AskRequest) -> None:
        try:
            running.add(request.id, request.prompt, request.history, **request.settings)
        except Exception as error:
            self._end(request.id, error)

    def _stop_cancelled(self, running: Running) -> None:
        for id in list(self._cancelled):
            running.cancel(id)
            self._note_slots(running)
            self._end(id, CancelledError("Stopped."))

    def _note_slots(self, running: Running) -> None:
        if running.slots != self._slots:
            self._slots = running.slots
            self._replies.hold(SlotsReply(self._slots))

    def _advance(self, running: Running) -> None:
        """Compute one step of all answers and send the news; several steps at a time for fast models, because each
        sending wakes the client.
        """
        try:
            news = running.step()
        except CancelledError:
            news = self._failed(running, [self._interrupted], CancelledError("Stopped."))
        except Exception as error:  # an error of no single answer
            news = self._failed(running, list(self._asked), error)
        self._note_slots(running)
        due = time.perf_counter() - self._replies.sent > _SENDING_PAUSE
        for id, found in news:
            if isinstance(found, Piece):
                self._hold(id, found)
                due = due or found.tokens == 1
            else:
                self._end(id, found)
        if due:
            self._replies.send()
        faults = [found for _, found in news if isinstance(found, Exception) and not isinstance(found, FastGLMError)]
        if faults and has_failed(self._meter.device):
            print("the device refuses all further work of this process", file=sys.stderr, flush=True)
            os._exit(1)  # the next answer has a new process

    def _failed(self, running: Running, ids: list[int], error: Exception) -> list[News]:
        for id in ids:
            with contextlib.suppress(Exception):  # a failed card refuses this too
                running.cancel(id)
        return [(id, error) for id in ids]

    def _hold(self, id: int, piece: Piece) -> None:
        asked = self._asked[id]
        keep = common_length(asked.text, piece.text)
        asked.text, asked.begun = piece.text, True
        self._meter.cache = piece.cache_memory
        self._replies.hold(PieceReply(id, keep, piece))

    def _end(self, id: int, error: Exception | None) -> None:
        failure = self._failure(error, "Answering") if error else None
        with self._news:
            asked = self._asked.pop(id)
            is_cancelled = id in self._cancelled
            self._cancelled.discard(id)
            self._to_interrupt.discard(id)
            waits = isinstance(failure, MemoryShortError) and self._asked and not asked.begun and not is_cancelled
            self._is_full = bool(waits)
            if waits:  # until there is memory again
                self._waiting = {id: asked.request, **self._waiting}
        self._replies.send(QueuedReply(id) if waits else EndReply(id, failure, self._meter.read()))

    def _apply(self, id: int, work: Callable[[], Any]) -> None:
        """Work on many sequences at once, which always gains from more threads."""
        import torch

        decoding = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            self._replies.send(ResultReply(id, work()))
        except BaseException as error:
            self._replies.send(FailureReply(id, self._failure(error, "Evaluating")))
        finally:
            torch.set_num_threads(decoding)

    def _failure(self, error: BaseException, doing: str) -> FastGLMError:
        """The failure to send for an error, without the failed frames and their memory."""
        failure = _told(error, doing, _WAY_OUT).with_traceback(None)
        error.__traceback__ = None
        if isinstance(failure, MemoryShortError):
            gc.collect()
            self._meter.free_unused()
        return failure


def _told(error: BaseException, doing: str, way_out: str) -> FastGLMError:
    """The client's error: an error for users unchanged, one line for any other, whose traceback goes to the log."""
    if isinstance(error, FastGLMError):
        return error
    with contextlib.suppress(OSError):  # a full disk
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskShortError(f"{doing} found no room on the disk of {error.filename or home()}: make room there.")
    if is_out_of_memory(error):
        return MemoryShortError(f"{doing} took more memory than there is: {way_out}.")
    first_line = str(error).strip().partition("\n")[0]
    return HostError(f"{doing} failed unexpectedly ({type(error).__name__}: {first_line}).")


def main() -> None:
    requests, replies = standard_streams()
    faulthandler.enable()
    import fastglm
    from fastglm.generation.streams import Streams

    serve(requests, replies, fastglm.load, Streams)


if __name__ == "__main__":
    from fastglm.hosting import worker  # the classes it sends must belong to this module, not to `__main__`

    worker.main()
