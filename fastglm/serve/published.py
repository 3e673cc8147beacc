"""`POST /` as in the published `api.py` of ChatGLM-6B and ChatGLM2."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from fastglm.errors import UsageError
from fastglm.generation.piece import Piece
from fastglm.history import as_history, as_messages
from fastglm.messages import Message
from fastglm.serve.answering import Answering, Question, told_by, while_connected
from fastglm.serve.bodies import Body
from fastglm.serve.errors import ApiError, as_api_error
from fastglm.serve.facts import ModelFacts
from fastglm.serve.owner import owner_of

_MAX_LENGTH, _TOP_P, _TEMPERATURE = 2048, 0.7, 0.95  # as published


class AskBody(Body):
    """A question with the conversation before it."""

    prompt: Annotated[str, Field(description="The question.", examples=["你好"])]
    history: Annotated[
        list[Any] | None,
        Field(
            description="Earlier rounds: pairs of question and answer, or for ChatGLM3 and GLM-4 messages "
            "{role, content}.",
            examples=[[]],
        ),
    ] = None
    max_length: Annotated[
        int | None, Field(ge=1, description="Most tokens of prompt and answer together [2048]; cut to the context.")
    ] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="[0.7]")] = None
    temperature: Annotated[float | None, Field(ge=0, le=100, description="[0.95]; 0 is greedy.")] = None


def routes(answering: Answering) -> APIRouter:
    router = APIRouter()

    @router.post("/", summary="Answer a question, as published")
    async def ask(body: AskBody, request: Request, answer: Response) -> dict[str, Any]:
        history = _read_history(body.history)
        piece = await while_connected(request, _answer(answering, body, history))
        answer.headers.update(told_by(piece))
        has_roles = answering.model.facts.has_roles
        response, after = (_role_answer if has_roles else _pair_answer)(body, history, piece)
        return {"response": response, "history": after, "status": 200, "time": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}

    return router


async def _answer(answering: Answering, body: AskBody, history: Sequence[Message]) -> Piece:
    def question(_: ModelFacts) -> list[Question]:
        return [Question(body.prompt, history, settings)]

    settings = {
        "max_length": body.max_length or _MAX_LENGTH,
        "top_p": body.top_p or _TOP_P,
        "temperature": _TEMPERATURE if body.temperature is None else body.temperature,
        "owner": owner_of([*history, Message("user", body.prompt)]),
    }
    try:
        async for _, piece in answering.pieces(1, question):
            last = piece
    except Exception as error:
        raise as_api_error(error, "history" if history else "prompt") from error
    return last


def _read_history(history: list[Any] | None) -> list[Message]:
    try:
        return as_messages(history)
    except UsageError as error:
        raise ApiError(400, str(error), "history", "invalid_value") from error


def _pair_answer(body: AskBody, history: Sequence[Message], piece: Piece) -> tuple[str, list[list[str]]]:
    """The response, and the history with this round as pairs."""
    return piece.text, [*map(list, as_history(history)), [body.prompt, piece.text]]


def _role_answer(body: AskBody, history: Sequence[Message], piece: Piece) -> tuple[Any, list[dict[str, Any]]]:
    """The response, and the history with this round as messages. A call of a tool is a response by its parts."""
    given = body.history or []
    before = [dict(part) for part in given if isinstance(part, Mapping)]
    if len(before) < len(given):
        before = [{"role": message.role, "content": message.content} for message in history]
    call = piece.call
    said = {"role": "assistant", "metadata": call.name if call else "", "content": call.content if call else piece.text}
    response: Any = piece.text
    if call and call.arguments is not None and any(message.tools for message in history):
        response = {"name": call.name, "parameters": json.loads(call.arguments)}
    elif call:
        response = {"name": call.name, "content": call.content}
    return response, [*before, {"role": "user", "content": body.prompt}, said]
