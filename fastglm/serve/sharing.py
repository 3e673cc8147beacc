"""The addresses for the app on the same machine: answers with all their figures, and the order to stop.

They take the secret of the server's record, not its key.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from fastglm.errors import FastGLMError
from fastglm.hosting.protocol import common_length
from fastglm.messages import Message
from fastglm.serve.answering import Answering, Question
from fastglm.serve.errors import as_api_error
from fastglm.serve.shared_host import ASK, STOP


@dataclass(frozen=True, slots=True)
class Sharing:
    """The app's access to a server: the secret that it knows, and the way to stop the server."""

    token: str
    stop: Callable[[], object]


class AppQuestion(BaseModel):
    """A question of the app; the arguments of `Host.ask`."""

    prompt: str
    history: list[Message]
    settings: dict[str, Any]


def routes(answering: Answering, sharing: Sharing) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.post(ASK)
    async def ask(body: AppQuestion) -> StreamingResponse:
        owner = body.settings.get("owner")
        settings = {**body.settings, "owner": owner and f"app {owner}"}
        question = Question(body.prompt, body.history, settings)
        return StreamingResponse(_lines(answering, question), media_type="application/x-ndjson")

    @router.post(STOP)
    async def stop() -> dict[str, str]:
        sharing.stop()
        return {"status": "stopping"}

    return router


async def _lines(answering: Answering, question: Question) -> AsyncIterator[str]:
    """The pieces of an answer as lines, each without the text that the line before it has; then the error, or the
    memory of the model's process.
    """
    text = ""
    try:
        async with aclosing(answering.pieces(1, lambda _: [question])) as pieces:
            async for _, piece in pieces:
                keep = common_length(text, piece.text)
                yield _line(keep=keep, piece=asdict(replace(piece, text=piece.text[keep:])))
                text = piece.text
    except Exception as error:
        yield _line(error=as_api_error(error).detail)
        return
    memory = None
    with contextlib.suppress(FastGLMError):  # the process ends at this moment
        memory = await asyncio.to_thread(answering.model.memory)
    yield _line(memory=memory and asdict(memory))


def _line(**content: Any) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"
