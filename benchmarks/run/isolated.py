"""A measurement in a process of its own, so that nothing measured before it is in its memory."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Concatenate, ParamSpec, TypeVar

from benchmarks.run.progress import Reporter
from fastglm.errors import FastGLMError, HostError
from fastglm.hosting.lease import lease
from fastglm.progress.progress import OnProgress, Progress

_GRACE = 5.0  # seconds

P = ParamSpec("P")
T = TypeVar("T")


def apart(measure: Callable[Concatenate[OnProgress, P], T], reporter: Reporter, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `measure(progress, …)` returns, called in a fresh process that has the CPU to itself.

    Raises the `FastGLMError` it raises, and `HostError` where the process ends in another way.
    """
    reporter.plan(1)

    def progress(news: Progress) -> None:
        reporter.at(news.stage, news.fraction)

    with lease("cpu", "benchmark", exclusive=True, on_wait=lambda holder: reporter.at(f"waiting for {holder}")):
        return elsewhere(measure, progress, *args, **kwargs)


def elsewhere(
    work: Callable[Concatenate[OnProgress, P], T], progress: OnProgress, *args: P.args, **kwargs: P.kwargs
) -> T:
    """What `work(progress, …)` returns, called in a fresh process, whose memory is free again afterwards.

    Raises the `FastGLMError` it raises, and `HostError` where the process ends in another way.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, work, args, kwargs), daemon=True)
    process.start()
    sender.close()
    try:
        result = _receive(receiver, progress)
        process.join(_GRACE)  # what its libraries hold of the system is given back at a regular end
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    try:
        sender.send((work(sender.send, *args, **kwargs),))
    except FastGLMError as error:
        sender.send(error)
