"""The text of one answer while it grows."""

import time
from typing import Any, Literal

from ..engine.logprobs import Logprobs
from ..messages import ToolCall
from ..models.detokenizer import Detokenizer
from .clean_up import Cleaner
from .piece import Piece
from .request import Request
from .stop_texts import StopTexts


class Answer:
    """Turns the tokens of a request, as they come, into pieces."""

    def __init__(self, model: Any, tokenizer: Any, request: Request) -> None:
        self._request = request
        self._detokenizer = Detokenizer(lambda part: tokenizer.decode(part, skip_special_tokens=True))
        conversation = model.config.conversation
        # The text of a grammar is exact, and calls no tool unless it must.
        is_free = request.sampling.grammar is None or request.must_call
        self._cleaner = Cleaner(conversation.clean if is_free else str.strip, conversation.looked_at)
        self._call, self._context = conversation.call if is_free else None, model.context_length
        self._decode, self._ids = tokenizer.decode, list[int]()
        self._stop_texts = StopTexts(request.stop_texts)
        self._has_begun = not request.stop_texts  # a stop text is not found in white space before the answer
        self._text = ""
        self._ttft = 0.0

    def add(self, token: int) -> bool:
        """Add the next token; returns whether it ends the answer, as a stop token or by completing a stop text."""
        self._ids.append(token)
        self._grow(self._detokenizer.add(token))
        if token in self._request.stops:
            self._finish()
            return True
        return self._stop_texts.found

    def piece(
        self,
        is_last: bool,
        cache_memory: int,
        acceptance: float | None = None,
        reused: int = 0,
        logprobs: Logprobs | None = None,
    ) -> Piece:
        """The piece of the latest token."""
        request, token = self._request, self._ids[-1]
        now = time.perf_counter() - request.asked
        self._ttft = self._ttft or now
        stop: Literal["eos", "length", "stop"] | None = None
        if is_last:
            self._finish()
            stop = "stop" if self._stop_texts.found else "eos" if token in request.stops else "length"
        return Piece(
            text=self._text,
            token=token,
            tokens=len(self._ids),
            prompt_tokens=len(request.ids),
            time=now,
            ttft=self._ttft,
            rounds_left_out=request.rounds_left_out,
            stop=stop,
            context_full=stop == "length" and len(request.ids) + len(self._ids) >= self._context,
            cache_memory=cache_memory,
            call=self._found_call() if is_last and self._call and stop != "stop" else None,
            acceptance=acceptance,
            reused_tokens=reused,
            logprob=logprobs.chosen if logprobs else None,
            top_logprobs=logprobs.top if logprobs else (),
        )

    def _grow(self, new: str, is_last: bool = False) -> None:
        """Add new text to the shown one."""
        if not self._has_begun:
            new = new.lstrip()
            self._has_begun = bool(new)
        text = self._stop_texts.add(new)
        if is_last:
            text += self._stop_texts.finish()
        self._text = self._stop_texts.shown(self._cleaner.add(text), is_last or self._stop_texts.found)

    def _finish(self) -> None:
        self._grow(self._detokenizer.finish(), is_last=True)

    def _found_call(self) -> ToolCall | None:
        ended = self._ids[-1] in self._request.stops
        raw = self._decode(self._ids[:-1] if ended else self._ids, spaces_between_special_tokens=False)
        return self._call(raw) if self._call else None
