"""The text of one answer while it grows."""

import time
from typing import Any

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
        self._tokens = 0
        self._ttft = 0.0

    def piece(self, token: int, is_last: bool, cache_memory: int, acceptance: float | None = None) -> Piece:
        """The piece of the next token."""
        request = self._request
        now = time.perf_counter() - request.asked
        self._ttft = self._ttft or now
        self._tokens += 1
        new = self._detokenizer.add(token)
        return Piece(
            text=self._cleaner.add(new + self._detokenizer.finish() if is_last else new),
            token=token,
            tokens=self._tokens,
            prompt_tokens=len(request.ids),
            time=now,
            ttft=self._ttft,
            rounds_left_out=request.rounds_left_out,
            stop=None if not is_last else "eos" if token in request.stops else "length",
            cache_memory=cache_memory,
            acceptance=acceptance,
        )
