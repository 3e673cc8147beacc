"""OpenAI's answers, whole and in chunks, of completions and of chats."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from fastglm.generation.piece import Piece
from fastglm.messages import ToolCall
from fastglm.serve.answering import Pieces
from fastglm.serve.errors import as_api_error
from fastglm.serve.facts import ModelFacts
from fastglm.serve.growing_text import GrowingText
from fastglm.serve.openai.logprobs import TokenTexts

DONE = "[DONE]"
Usage = Literal["last", "always"]  # in the last chunk alone, or in each one
_REASONS = {"eos": "stop", "stop": "stop", "length": "length", None: None}


@dataclass(frozen=True)
class Form:
    """The form of the answers to one request.

    param: the field with the text that the model answers.
    each: answers to each prompt.
    """

    is_chat: bool
    model: str
    param: str
    each: int = 1
    tools: Collection[str] = ()
    usage: Usage | None = None  # in a stream
    wants_logprobs: bool = False

    def head(self, is_chunk: bool) -> dict[str, Any]:
        """The fields before the choices."""
        if self.is_chat:
            kind, prefix = "chat.completion.chunk" if is_chunk else "chat.completion", "chatcmpl"
        else:
            kind, prefix = "text_completion", "cmpl"
        return {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model,
        }


class _Choice:
    """One answer while it grows."""

    def __init__(self, number: int, form: Form, facts: ModelFacts) -> None:
        self._number, self._form = number, form
        self._growing = GrowingText(facts, form.tools)
        self._texts = TokenTexts(facts.tokens)
        self._told = 0  # characters of the tokens whose log-probabilities were told
        self._untold: list[Piece] = []
        self.piece: Piece | None = None

    def add(self, piece: Piece) -> str:
        """Add a piece; returns the new text."""
        self.piece = piece
        if self._form.wants_logprobs and piece.stop != "eos":
            self._untold.append(piece)
        return self._growing.add(piece)

    def _logprobs(self) -> dict[str, Any] | None:
        """The log-probabilities of the tokens since the last call; None if there are none."""
        if not self._untold:
            return None
        pieces, self._untold = self._untold, []
        if self._form.is_chat:
            return self._texts.of_chat(pieces)
        start = self._told
        self._told += sum(len(self._texts.text(piece.token)) for piece in pieces)
        return self._texts.of_completion(pieces, start)

    @property
    def _reason(self) -> str | None:
        return "tool_calls" if self._growing.call else _REASONS[self.piece.stop] if self.piece else None

    def whole(self) -> dict[str, Any]:
        """The finished answer."""
        choice = {"index": self._number, "logprobs": self._logprobs(), "finish_reason": self._reason}
        text, call = self._growing.text, self._growing.call
        if not self._form.is_chat:
            return {**choice, "text": text}
        message = {"role": "assistant", "content": text if text or not call else None, "refusal": None}
        return {**choice, "message": message | ({"tool_calls": [_call(call)]} if call else {})}

    def begin(self) -> dict[str, Any]:
        """The first chunk of a chat."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, None)

    def chunk(self, text: str) -> dict[str, Any]:
        """A chunk with new text, which may be the last one."""
        if not self._form.is_chat:
            return {"index": self._number, "text": text, "logprobs": self._logprobs(), "finish_reason": self._reason}
        delta: dict[str, Any] = {"content": text} if text else {}
        if call := self._growing.call:
            delta["tool_calls"] = [{"index": 0, **_call(call)}]
        return self._chunk(delta, self._reason)

    def _chunk(self, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        return {"index": self._number, "delta": delta, "logprobs": self._logprobs(), "finish_reason": reason}


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _usage(form: Form, choices: list[_Choice]) -> dict[str, Any]:
    """Tokens of a request; a prompt with several answers counts once."""
    pieces = [choice.piece for choice in choices if choice.piece]
    groups = [choices[start : start + form.each] for start in range(0, len(choices), form.each)]
    prompts = [piece for group in groups if (piece := next((one.piece for one in group if one.piece), None))]
    read, written = sum(piece.prompt_tokens for piece in prompts), sum(piece.tokens for piece in pieces)
    reused = sum(piece.reused_tokens for piece in prompts)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": reused},
    }


async def whole(form: Form, count: int, first: tuple[int, Piece], pieces: Pieces, facts: ModelFacts) -> dict[str, Any]:
    """The body of finished answers, whose first piece is there already. Raises ApiError."""
    choices = [_Choice(number, form, facts) for number in range(count)]
    try:
        async with aclosing(pieces):
            async for number, piece in _with_first(first, pieces):
                choices[number].add(piece)
    except Exception as error:
        raise as_api_error(error, form.param) from error
    return {**form.head(False), "choices": [choice.whole() for choice in choices], "usage": _usage(form, choices)}


async def events(
    form: Form, count: int, first: tuple[int, Piece], pieces: Pieces, facts: ModelFacts
) -> AsyncIterator[str]:
    """The data of the events of a stream, whose first piece is there already; an error ends it."""
    head = form.head(True)
    choices = [_Choice(number, form, facts) for number in range(count)]

    def data(*chunks: dict[str, Any]) -> str:
        more: dict[str, Any] = {}
        if form.usage:
            more["usage"] = _usage(form, choices) if form.usage == "always" or not chunks else None
        return json.dumps({**head, "choices": chunks, **more}, ensure_ascii=False)

    async with aclosing(pieces):
        try:
            if form.is_chat:
                for choice in choices:
                    yield data(choice.begin())
            async for number, piece in _with_first(first, pieces):
                new = choices[number].add(piece)
                if new or piece.stop:
                    yield data(choices[number].chunk(new))
        except Exception as error:
            yield as_api_error(error, form.param).event
            return
    if form.usage:
        yield data()
    yield DONE


async def _with_first(first: tuple[int, Piece], pieces: Pieces) -> Pieces:
    yield first
    async for piece in pieces:
        yield piece
