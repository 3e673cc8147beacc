"""A replica by itself, with the model that obeys the prompt."""

import asyncio
import pickle
from typing import Any

import pytest

from fastglm.errors import ContextError, FastGLMError
from fastglm.hosting.protocol import AskRequest, HostKey
from fastglm.serve.replica import Replica


async def made(model: str = "demo") -> Replica:
    """A replica whose constructor was awaited, as Ray Serve does."""
    replica = Replica.__new__(Replica)
    constructed: Any = replica.__init__(HostKey(model), "a test")  # type: ignore[misc]
    await constructed
    return replica


def asked(prompt: str) -> AskRequest:
    return AskRequest(0, prompt, [], {})


def test_pieces_arrive_and_an_error_comes_last(fake_model: None) -> None:
    async def ask() -> None:
        replica = await made()
        text = ""
        async for news in replica.answer(asked("x")):
            assert isinstance(news, list)
            for keep, piece in pickle.loads(pickle.dumps(news)):  # they travel to another machine
                text = text[:keep] + piece.text
        assert text == "x1 x2 x3 x4 x5 "
        [failure] = [news async for news in replica.answer(asked("context"))]
        assert isinstance(failure, ContextError)

    asyncio.run(ask())


def test_closing_stops_the_answer(fake_model: None) -> None:
    async def ask() -> None:
        replica = await made()
        answer = replica.answer(asked("slow"))
        await anext(answer)
        await answer.aclose()
        # The model has no memory for a large answer beside another one.
        async with asyncio.timeout(10):
            assert [news async for news in replica.answer(asked("large"))]

    asyncio.run(ask())


def test_a_look_at_its_health_starts_an_ended_host_again(fake_model: None) -> None:
    async def ask() -> None:
        replica = await made()
        *_, failure = [news async for news in replica.answer(asked("crash"))]
        assert isinstance(failure, FastGLMError)
        await replica.check_health()
        assert all([isinstance(news, list) async for news in replica.answer(asked("x"))])

    asyncio.run(ask())


def test_a_replica_without_its_model_is_not_made(fake_model: None) -> None:
    with pytest.raises(FastGLMError, match="no folder named missing"):
        asyncio.run(made("missing"))
