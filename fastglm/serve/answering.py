"""Answers for HTTP clients: admitted, read without a thread each, and stopped when their client goes away."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request

from fastglm.generation.piece import Piece
from fastglm.hosting.answer import Answer
from fastglm.messages import Message
from fastglm.serve.ends import Ends
from fastglm.serve.errors import ApiError
from fastglm.serve.facts import ModelFacts
from fastglm.serve.metrics import Metrics
from fastglm.serve.served_model import ServedModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """An answer to ask for; the arguments of `Host.ask`."""

    prompt: Any  # a text, a message or token ids
    history: Sequence[Message] = ()
    settings: dict[str, Any] = field(default_factory=dict)


Ask = Callable[[ModelFacts], list[Question]]
Pieces = AsyncGenerator[tuple[int, Piece]]


class Answering:
    """The answers of a server. At most `limit` run or wait; each takes at most `deadline` seconds."""

    def __init__(self, model: ServedModel, metrics: Metrics, limit: int, deadline: float) -> None:
        self.model, self.metrics = model, metrics
        self._limit, self._deadline = limit, deadline
        self._open, self._ends = 0, Ends()
        self._stop = math.inf  # the time at which all answers end
        self._waits = set[asyncio.Timeout]()

    def stop_in(self, seconds: float) -> None:
        """Let the answers that still run after so many seconds end with an error; for a server that ends."""
        self._stop = asyncio.get_running_loop().time() + seconds
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(min(self._stop, wait.when() or math.inf))

    async def pieces(self, count: int, ask: Ask) -> Pieces:
        """Yield the pieces of `count` answers side by side, each with the number of its answer.

        Closing stops the answers. Raises ApiError if too many are open, or time is over, and the errors of answers.
        """
        if count > self._limit:
            raise ApiError(400, f"This server gives at most {self._limit} answers at a time.", "n")
        if (over := self._open + count - self._limit) > 0:
            wait = min(self._ends.until(over), math.ceil(self._deadline))
            message = f"Too many requests are waiting: try again in about {wait} s."
            raise ApiError(429, message, headers={"Retry-After": str(wait)})
        end = asyncio.get_running_loop().time() + self._deadline
        answers: list[Answer] = []
        begun = set[int]()
        self._count(count)
        self.metrics.waiting.inc(count)
        try:
            loaded = await self._before(end, self.model.get)
            for question in ask(loaded.facts):
                # The server holds the device already.
                answers.append(loaded.host.ask(question.prompt, question.history, lease=False, **question.settings))
            async for number, piece in self._merged(answers, end):
                self.metrics.saw(piece)
                if number not in begun:
                    begun.add(number)
                    self.metrics.waiting.dec()
                yield number, piece
        finally:
            self._count(-count)
            self.metrics.waiting.dec(count - len(begun))
            for answer in answers:
                answer.cancel()

    def _count(self, more: int) -> None:
        self._open = self._ends.count(more)
        self.metrics.open.set(self._open)

    async def _merged(self, answers: Sequence[Answer], end: float) -> Pieces:
        """Yield the pieces of answers as they come. Raises ApiError at the time `end`, and the errors of answers."""
        news = news_of(answers)
        seen = [0] * len(answers)
        last: list[Piece | None] = [None] * len(answers)
        running = set(range(len(answers)))
        while running:
            news.clear()
            for number in sorted(running):
                is_over, before = answers[number].over, seen[number]
                for piece in answers[number].after(before, last[number]):
                    self._check_time(end)  # the reader may be slow
                    seen[number] += 1
                    last[number] = piece
                    yield number, piece
                if is_over and seen[number] == before:
                    running.discard(number)
                elif is_over:
                    news.set()
            if running:
                await self._before(end, news.wait)

    async def _before(self, end: float, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of work that takes until `end` at most."""
        try:
            async with asyncio.timeout_at(min(end, self._stop)) as wait:
                self._waits.add(wait)
                await asyncio.sleep(0)  # work that need not wait is stopped in time too
                return await work()
        except TimeoutError as error:
            raise self._late() from error
        finally:
            self._waits.discard(wait)

    def _check_time(self, end: float) -> None:
        if asyncio.get_running_loop().time() > min(end, self._stop):
            raise self._late()

    def _late(self) -> ApiError:
        """The error of an answer whose time is over."""
        if asyncio.get_running_loop().time() >= self._stop:
            return ApiError(503, "The server is stopping.", code="server_stopping", headers={"Retry-After": "5"})
        return ApiError(504, "The answer took too long, and was stopped.", code="deadline")


def news_of(answers: Sequence[Answer]) -> asyncio.Event:
    """An event of the running loop that is set at each news of answers, first at once."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def hear() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(news.set)

    for answer in answers:
        answer.listen(hear)
    return news


def told_by(piece: Piece | None) -> dict[str, str]:
    """The header of a response that tells how many rounds did not fit into the context; none if all did."""
    return {"FastGLM-Rounds-Left-Out": str(piece.rounds_left_out)} if piece and piece.rounds_left_out else {}


class ClientGoneError(Exception):
    """The client has closed the connection."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of work, which is cancelled if the client goes away; raises ClientGoneError then."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.wait({working, gone})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
