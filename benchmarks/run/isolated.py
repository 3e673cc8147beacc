"""A measurement in its own process, free from the memory of earlier measurements."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Concatenate, ParamSpec, TypeVar

from benchmarks.run.device import alone
from benchmarks.run.progress import Reporter
from fastglm.errors import FastGLMError, HostError
from fastglm.progress.progress import OnProgress, Progress

_GRACE = 5.0  # seconds

P = ParamSpec("P")
T = TypeVar("T")


def apart(measure: Callable[Concatenate[OnProgress, P], T], reporter: Reporter, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `measure(progress, …)` in a fresh process that has the CPU for itself, and return its result.

    Raises:
        FastGLMError: an error that `measure` raises.
        HostError: the process ended in another way.
    """
    reporter.plan(1)

    def progress(news: Progress) -> None:
        reporter.at(news.stage, news.fraction)

    with alone("cpu", "benchmark", reporter):
        return elsewhere(measure, progress, *args, **kwargs)


def elsewhere(
    work: Callable[Concatenate[OnProgress, P], T], progress: OnProgress, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run `work(progress, …)` in a fresh process, whose memory is free afterwards, and return its result.

    Raises:
        FastGLMError: an error that `work` raises.
        HostError: the process ended in another way.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, work, args, kwargs), daemon=True)
    process.start()
    sender.close()
    try:
        result = _receive(receiver, progress)
        process.join(_GRACE)  # only a regular end gives back system resources of its libraries
        return result
    finally:
        process.terminate()
        process.join()


def _receive(receiver: Connection, progress: OnProgress) -> Any:
    while True:
        try:
            news = receiver.recv()
        except EOFError:
            raise HostError("the process ended before it was done: is there enough memory?") from None
        match news:
            case Progress():
                progress(news)
            case FastGLMError():
                raise news
            case (result,):
                return result


def _run(sender: Connection, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    try:
        sender.send((work(sender.send, *args, **kwargs),))
    except FastGLMError as error:
        sender.send(error)
