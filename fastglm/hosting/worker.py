"""The process that holds one loaded variant: `python -m fastglm.hosting.worker`, started and talked to by
`fastglm.hosting.host`.

Requests and replies are pickled tuples on its standard input and output, which nobody else can write to. One thread
reads, the main thread loads and generates, so that a cancel is heard at once. The end of the input is the end of the
parent, and of this process.
"""

import _thread
import contextlib
import errno
import faulthandler
import gc
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, fields
from functools import partial
from operator import attrgetter
from types import FrameType
from typing import Any, BinaryIO

from fastglm.errors import CancelledError, DiskShortError, FastGLMError, HostError, MemoryShortError
from fastglm.generation.model_info import LoadedInfo, wants_one_thread
from fastglm.generation.piece import Piece
from fastglm.progress.progress import OnProgress
from fastglm.system.home import home
from fastglm.system.memory import MemoryMeter, is_out_of_memory

Load = Callable[..., tuple[Any, Any]]
Stream = Callable[..., Any]  # a generator of pieces

_SENDING_PAUSE = 0.01  # seconds, too short to be seen

_after_text = attrgetter(*(field.name for field in fields(Piece)[1:]))


@dataclass(frozen=True, slots=True)
class HostInfo(LoadedInfo):
    """What a host process has loaded, and the process's number."""

    pid: int = 0


def serve(requests: BinaryIO, replies: BinaryIO, load: Load, stream: Stream) -> None:
    """Load what the first request names, then answer for ever. To be called in the main thread."""
    child = _Child(requests, replies)
    signal.signal(signal.SIGINT, child.on_interrupt)
    threading.Thread(target=child.read, name="requests", daemon=True).start()
    if loaded := child.load(load):
        child.answer(stream, *loaded)


def standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, kept for requests and replies alone: what else is printed goes to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


class _Child:
    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self._requests = requests
        self._replies = replies
        self._sending = threading.Lock()
        self._work: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()  # for the main thread
        self._meter = MemoryMeter("cpu", 0)
        self._threads = 1  # for work on many sequences
        self._cancelled = -1  # the answer that was cancelled last
        self._interruptible = -1  # the answer whose next token is being computed

    def read(self) -> None:
        """Pass work on to the main thread and do the rest at once; runs in a thread of its own."""
        with contextlib.suppress(Exception):  # the parent's end, or a request that cannot be read
            while True:
                match pickle.load(self._requests):
                    case ("cancel", number):
                        self._cancelled = number
                        if number == self._interruptible:
                            _thread.interrupt_main()
                    case ("memory", number):
                        self._send("reply", number, self._meter.read())
                    case ("reset_peak", number):
                        self._send("reply", number, self._meter.reset_peak())
                    case request:
                        self._work.put(request)
        os._exit(0)  # whatever the main thread is in the middle of

    def load(self, load: Load) -> tuple[Any, Any] | None:
        """The model and its tokenizer, or None after a failure, which has been told."""
        _, number, model, variant, device, dtype, cache, restricted, threads = self._work.get()
        try:
            import torch

            if threads:
                torch.set_num_threads(threads)
            settings = {"cache": cache, "restricted": restricted, "progress": self._telling(number)}
            loaded = load(model, variant, device, dtype, **settings)
            info = loaded[0].fastglm
            self._threads = torch.get_num_threads()
            if not threads and info.device == "cpu" and wants_one_thread(info.parameters, info.engine):
                torch.set_num_threads(1)
            self._meter = MemoryMeter(info.device, info.weights_memory)
            told = {field.name: getattr(info, field.name) for field in fields(LoadedInfo)}
            self._send("reply", number, (HostInfo(**told, pid=os.getpid()), torch.get_num_threads()))
            return loaded
        except BaseException as error:
            self._send("failed", number, _told(error, f"Loading {model} as {variant}", "pick a smaller variant"))
            return None

    def _telling(self, number: int) -> OnProgress:
        return lambda progress: self._send("progress", number, progress)

    def answer(self, stream: Stream, model: Any, tokenizer: Any) -> None:
        """Answer one request after the other."""
        while True:
            match self._work.get():
                case ("ask", number, prompt, history, settings):
                    start = partial(stream, model, tokenizer, prompt, history, **settings)
                    failure = self._try("Answering", self._stream, number, start)
                    self._send("end", failure, self._meter.read())
                case ("apply", number, function, arguments):
                    work = partial(function, model, tokenizer, *arguments, progress=self._telling(number))
                    if failure := self._try("Evaluating", self._apply, number, work):
                        self._send("failed", number, failure)

    def _try(self, doing: str, work: Callable[..., None], *arguments: Any) -> FastGLMError | None:
        """Returns what to tell of a failure, without the frames that failed and their memory."""
        try:
            work(*arguments)
        except BaseException as error:
            failure = _told(error, doing, "clear the conversation, or pick a smaller variant").with_traceback(None)
        else:
            return None
        if isinstance(failure, MemoryShortError):
            gc.collect()
            self._meter.free_unused()
        return failure

    def _apply(self, number: int, work: Callable[[], Any]) -> None:
        """Work on many sequences at once, which more threads always help."""
        import torch

        decoding = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            self._send("reply", number, work())
        finally:
            torch.set_num_threads(decoding)

    def _stream(self, number: int, start: Callable[[], Generator[Piece]]) -> None:
        """Send what is new in each piece; those of a fast model several at a time, as each sending wakes the client."""
        text, sent = "", 0.0
        with contextlib.closing(start()) as pieces:
            while (piece := self._next(number, pieces)) is not None:
                keep = _common_length(text, piece.text)
                text = piece.text
                self._meter.cache = piece.cache_memory
                due = piece.time - sent > _SENDING_PAUSE or piece.tokens == 1
                sent = piece.time if due else sent
                self._send("piece", keep, text[keep:], *_after_text(piece), flush=due)

    def _next(self, number: int, pieces: Generator[Piece]) -> Piece | None:
        """The next piece, None at the end. A cancel interrupts this, even a long prefill, and nothing else."""
        self._interruptible = number
        try:
            if self._cancelled == number:
                raise CancelledError("Stopped.")
            return next(pieces, None)
        finally:
            self._interruptible = -1

    def on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Runs in the main thread when the reading thread has called `interrupt_main`."""
        if self._interruptible == self._cancelled != -1:
            self._interruptible = -1
            raise CancelledError("Stopped.")

    def _send(self, *reply: Any, flush: bool = True) -> None:
        data = pickle.dumps(reply, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            with self._sending:
                self._replies.write(data)
                if flush:
                    self._replies.flush()
        except OSError:
            os._exit(0)  # the parent is gone


def _common_length(old: str, new: str) -> int:
    """How many characters two texts share at their start."""
    if new.startswith(old):
        return len(old)
    return next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))


def _told(error: BaseException, doing: str, way_out: str) -> FastGLMError:
    """What the client is told: an error for users as it is, one line for any other; its traceback goes to the log."""
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

    serve(requests, replies, lambda *a, **k: fastglm.load(*a, **k), lambda *a, **k: fastglm.stream(*a, **k))


if __name__ == "__main__":
    from fastglm.hosting import worker  # the classes it sends are to be that module's, not `__main__`'s

    worker.main()
