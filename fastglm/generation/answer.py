"""The text of one answer while it grows."""

import time
from typing import Any, Literal

from ..messages import ToolCall
from ..models.detokenizer import Detokenizer
from .clean_up import Cleaner
from .piece import Piece
from .request import Request


class Answer:
    """Turns the tokens of a request, as they come, into pieces."""

    def __init__(self, model: Any, tokenizer: Any, request: Request) -> None:
        self._request = request
        self._detokenizer = Detokenizer(lambda part: tokenizer.decode(part, skip_special_tokens=True))
        conversation = model.config.conversation
        self._cleaner = Cleaner(conversation.clean, conversation.looked_at)
        self._call, self._context = conversation.call, model.context_length
        self._decode, self._ids = tokenizer.decode, list[int]()
        self._ttft = 0.0

    def piece(
        self, token: int, is_last: bool, cache_memory: int, acceptance: float | None = None, reused: int = 0
    ) -> Piece:
        """The piece of the next token."""
        request = self._request
        now = time.perf_counter() - request.asked
        self._ttft = self._ttft or now
        self._ids.append(token)
        new = self._detokenizer.add(token)
        stop: Literal["eos", "length"] | None = None
        if is_last:
            stop = "eos" if token in request.stops else "length"
        return Piece(
            text=self._cleaner.add(new + self._detokenizer.finish() if is_last else new),
            token=token,
            tokens=len(self._ids),
            prompt_tokens=len(request.ids),
            time=now,
            ttft=self._ttft,
            rounds_left_out=request.rounds_left_out,
            stop=stop,
            context_full=stop == "length" and len(request.ids) + len(self._ids) >= self._context,
            cache_memory=cache_memory,
            call=self._found_call() if is_last and self._call else None,
            acceptance=acceptance,
            reused_tokens=reused,
        )

    def _found_call(self) -> ToolCall | None:
        ended = self._ids[-1] in self._request.stops
        raw = self._decode(self._ids[:-1] if ended else self._ids, spaces_between_special_tokens=False)
        return self._call(raw) if self._call else None
