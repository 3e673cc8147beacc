"""Loops of requests, closed and open, and the lag of the event loop that runs them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from benchmarks.serving.asked import Asked
from benchmarks.serving.load import Level
from benchmarks.serving.window import Window

PAUSE = 0.2  # seconds that a client waits after a failure, so that it does not ask a broken server without a break
TICK = 0.01  # seconds between two looks at the event loop's lag

Send = Callable[[int, float, float | None], Awaitable[Asked]]
"""Ask request number n for a share of the answer's tokens; it was due at a time, or now."""


@dataclass(frozen=True, slots=True)
class Played:
    """The requests of a load and its window; `lags` are seconds by which the client's own event loop was late."""

    asked: list[Asked]
    start: float
    end: float
    lags: list[float]


async def play(level: Level, send: Send, window: Window, seed: str) -> Played:
    """Put a level of load on a server until its window is over."""
    async with _lags() as lags:
        if level.kind == "clients":
            asked = await closed(int(level.size), send, window)
        else:
            asked = await opened(level.arrivals(seed), send, window)
    assert window.start is not None
    assert window.end is not None
    return Played(asked, window.start, window.end, lags)


async def closed(clients: int, send: Send, window: Window) -> list[Asked]:
    """Have a number of clients ask one request after another. Their first answers differ in length, so that they do not
    go on in step.
    """
    numbers, found = count(), list[Asked]()

    async def client(place: int) -> None:
        share = (place + 1) / clients
        while not window.over:
            found.append(await _one(next(numbers), share, None, send, window, place))
            share = 1.0
            if found[-1].error:
                await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as group:
        for place in range(clients):
            group.create_task(client(place))
    return found


async def opened(gaps: Iterator[float], send: Send, window: Window) -> list[Asked]:
    """Send requests at their times, however many are still without an answer. Requests of the tail are broken off."""
    found, due = list[Asked](), time.monotonic()
    tasks, finished = list[asyncio.Task[None]](), asyncio.Event()

    async def one(number: int, due: float) -> None:
        found.append(await _one(number, 1.0, due, send, window))
        if window.over:
            finished.set()

    async with asyncio.TaskGroup() as group:
        for number in count():
            due += next(gaps)
            try:
                async with asyncio.timeout(max(due - time.monotonic(), 0.0)):
                    await finished.wait()
                break
            except TimeoutError:
                tasks.append(group.create_task(one(number, due)))
        for task in tasks:
            task.cancel()
    return found


async def _one(number: int, share: float, due: float | None, send: Send, window: Window, client: int = 0) -> Asked:
    """Send a request, and tell the window of its beginning and its end."""
    window.asked(number, time.monotonic() if due is None else due)
    asked = await send(number, share, due)
    window.ended(number, asked.ended, client)
    return asked


@asynccontextmanager
async def _lags() -> AsyncIterator[list[float]]:
    """The event loop's lags in the block: how much longer than `TICK` a sleep of `TICK` took."""
    found: list[float] = []

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            found.append(max(time.monotonic() - before - TICK, 0.0))

    task = asyncio.create_task(watch())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])
