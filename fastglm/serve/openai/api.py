"""The addresses of OpenAI's API."""

import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse

from fastglm.generation.piece import Piece
from fastglm.messages import Message, RawText
from fastglm.serve.answering import Answering, Ask, Pieces, Question, told_by, while_connected
from fastglm.serve.errors import ApiError, as_api_error
from fastglm.serve.facts import ModelFacts
from fastglm.serve.openai.answers import Form, Usage, events, whole
from fastglm.serve.openai.bodies import MOST_ANSWERS, ChatBody, CompletionBody, Settings
from fastglm.serve.openai.conversation import must_call, offered, read_conversation
from fastglm.serve.owner import owner_of

_LONGEST = 1 << 30  # tokens of prompt and answer together; the context limits both
_COMPLETION = 16  # tokens of a completion, unless its request says otherwise; OpenAI's
_PING = 15  # seconds between comments in a stream without news
_STUCK = 60.0  # seconds in which a client reads nothing before it is given up
_AS_THEY_ARE = (
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "ignore_eos",
)


def routes(answering: Answering) -> APIRouter:
    router = APIRouter(prefix="/v1")
    model, began = answering.model, int(time.time())
    card = {"id": model.name, "object": "model", "created": began, "owned_by": "fastglm"}

    @router.get("/models", summary="The model that runs here")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [card]}

    @router.get("/models/{name:path}", summary="One model")
    async def one_model(name: str) -> dict[str, Any]:
        _check_model(answering, name)
        return card

    @router.post("/chat/completions", summary="Answer a conversation")
    async def chat(body: ChatBody, request: Request) -> Response:
        _check(answering, body)
        tools = [tool.function.name for tool in offered(body)]
        settings = {"max_new_tokens": body.max_completion_tokens or body.max_tokens, **_chat_settings(body, tools)}

        def ask(facts: ModelFacts) -> list[Question]:
            _check_bias(body, facts)
            *history, last = read_conversation(body, facts)
            owner = owner_of([*history, last], body.prompt_cache_key or body.user)
            prompt = last.content if last.role == "user" else last
            return _questions(body, [prompt], history, {**settings, "owner": owner})

        form = Form(True, model.name, "messages", body.n or 1, tools, _usage(body), bool(body.logprobs))
        return await _answer(answering, request, body, form, ask, form.each)

    @router.post("/completions", summary="Go on with a text")
    async def complete(body: CompletionBody, request: Request) -> Response:
        _check(answering, body)
        if body.best_of not in (None, body.n or 1):
            raise ApiError(400, "All answers are given: best_of is n, or left out.", "best_of")
        prompts = _prompts(body.prompt)
        form = Form(False, model.name, "prompt", body.n or 1, (), _usage(body), body.logprobs is not None)
        count = len(prompts) * form.each
        if count > MOST_ANSWERS:
            raise ApiError(400, f"At most {MOST_ANSWERS} answers are given to a request.", "prompt")
        user = body.prompt_cache_key or body.user
        settings = {
            "max_new_tokens": body.max_tokens or _COMPLETION,
            "logprobs": body.logprobs,
            "owner": owner_of([], user) if user else None,
        }

        def ask(facts: ModelFacts) -> list[Question]:
            _check_bias(body, facts)
            return _questions(body, prompts, [], settings)

        return await _answer(answering, request, body, form, ask, count)

    return router


async def _answer(answering: Answering, request: Request, body: Settings, form: Form, ask: Ask, count: int) -> Response:
    """The response to a request; a stream begins with its first token, so that errors before have their status."""
    pieces = answering.pieces(count, ask)
    first = await while_connected(request, _first(form, pieces))
    known = form, count, first, pieces, answering.model.facts
    headers = told_by(first[1])
    if body.stream:
        return EventSourceResponse(events(*known), headers=headers, sep="\n", ping=_PING, send_timeout=_STUCK)
    return JSONResponse(await while_connected(request, whole(*known)), headers=headers)


async def _first(form: Form, pieces: Pieces) -> tuple[int, Piece]:
    try:
        return await anext(pieces)
    except Exception as error:
        raise as_api_error(error, form.param) from error


def _questions(body: Settings, prompts: Sequence[Any], history: list[Message], given: dict[str, Any]) -> list[Question]:
    """The questions of a request: as many of each prompt as it wants answers, each further one with the next seed."""
    chosen = {name: value for name in _AS_THEY_ARE if (value := getattr(body, name)) is not None}
    if body.logit_bias:
        chosen["logit_bias"] = {int(token): bias for token, bias in body.logit_bias.items()}
    settings = {"max_length": _LONGEST, **given, **chosen}
    seeds = [None if body.seed is None else body.seed + number for number in range(body.n or 1)]
    return [Question(prompt, history, {**settings, "seed": seed}) for prompt in prompts for seed in seeds]


def _chat_settings(body: ChatBody, tools: Sequence[str]) -> dict[str, Any]:
    """The settings that chats alone have. Raises ApiError for those that contradict each other."""
    settings: dict[str, Any] = {}
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs need logprobs: true.", "top_logprobs")
    if body.logprobs:
        settings["logprobs"] = body.top_logprobs or 0
    if forced := must_call(body):
        settings["must_call"] = [tool.function.model_dump(exclude_none=True) for tool in forced]
    form = body.response_format
    if form and (form.type == "json_schema") != bool(form.json_schema):
        raise ApiError(400, "A json_schema belongs to the type json_schema.", "response_format.json_schema")
    if form and form.grammar:
        if tools:
            raise ApiError(400, "An answer that is held to a form can call no tool.", "response_format")
        settings["grammar"] = form.grammar
    if body.ignore_eos and settings.keys() & {"grammar", "must_call"}:
        raise ApiError(400, "An answer that is held to a form ends with it: leave ignore_eos out.", "ignore_eos")
    return settings


def _check(answering: Answering, body: Settings) -> None:
    """Refuse what this server cannot do."""
    if body.model is not None:
        _check_model(answering, body.model)
    if body.stream_options and not body.stream:
        raise ApiError(400, "stream_options belong to a stream.", "stream_options")


def _check_bias(body: Settings, facts: ModelFacts) -> None:
    for token in map(int, body.logit_bias or ()):
        if token >= len(facts.tokens):
            raise ApiError(400, f"The vocabulary has no token {token}, only {len(facts.tokens)}.", "logit_bias")


def _check_model(answering: Answering, name: str) -> None:
    model = answering.model
    if name not in (model.name, model.key.model):
        raise ApiError(404, f"There is no model {name!r} here, only {model.name!r}.", "model", "model_not_found")


def _usage(body: Settings) -> Usage | None:
    """The place of the usage in a stream."""
    options = body.stream_options
    if not options or not options.include_usage:
        return None
    return "always" if options.continuous_usage_stats else "last"


def _prompts(given: Any) -> list[RawText | list[int]]:
    """The prompts of a request: a text, token ids, or a list of either. Raises ApiError for anything else."""
    prompts = given if isinstance(given, list) and given and not _is_id(given[0]) else [given]
    found: list[RawText | list[int]] = []
    for prompt in prompts:
        if isinstance(prompt, str):
            found.append(RawText(prompt))
        elif isinstance(prompt, list) and prompt and all(map(_is_id, prompt)):
            found.append(prompt)
        else:
            raise ApiError(
                400, "A prompt is a text, a list of token ids, or a list of either.", "prompt", "invalid_value"
            )
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
