"""The open answers of one loaded model, side by side."""

from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any

from ..engine import engine_for, engine_name
from ..engine.logprobs import Logprobs
from ..engine.scheduler import Scheduler
from ..messages import Message, RawText
from .answer import Answer
from .piece import Piece
from .request import Request, read_request

Told = tuple[int, Logprobs | None]  # a token, and its log-probabilities if they are asked for
News = tuple[int, Piece | Exception | None]  # news of a request: a new piece, its failure, or its end


class Streams:
    """Answers requests side by side. A request that fails, or is cancelled, leaves the others untouched; an unexpected
    error of a shared step fails all requests that share it.

    On the fast engine they share each step; requests to transformers' `generate`, or with drafts, advance in turn.
    `alone` is the request that is computed alone at the moment, for example its prompt; None while all share a step.
    Only if it is not None may an exception be raised into `step` from outside (a signal), and then that request fails.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._scheduler = Scheduler(model) if engine_name(model) == "fast" else None
        self._answers: dict[int, Answer] = {}  # pieces of the scheduler's requests
        self._pieces: dict[int, Iterator[Piece]] = {}  # pieces of the others
        self._alone: int | None = None

    def add(self, id: int, prompt: str | Message | RawText | list[int], history: Any = None, **settings: Any) -> None:
        """Add a request with the arguments of `fastglm.stream`; raises its errors. An id can be used again once its
        request has ended. Without an `owner` all of the prompt is read.
        """
        assert id not in self._answers, f"request {id} is on its way"
        assert id not in self._pieces, f"request {id} is on its way"
        request = read_request(self._model, self._tokenizer, prompt, history, **settings)
        if self._scheduler and not request.others:
            self._answers[id] = answer = Answer(self._model, self._tokenizer, request)
            self._scheduler.add(id, request.ids, request.allowed, request.sampling, answer.add, request.owner)
        else:
            self._pieces[id] = _pieces(self._model, self._tokenizer, request)

    def cancel(self, id: int) -> None:
        """Forget a request, open or ended, and free its memory."""
        if self._scheduler and self._answers.pop(id, None):
            self._scheduler.cancel(id)
        if pieces := self._pieces.pop(id, None):
            pieces.close()  # type: ignore[attr-defined]  # a generator

    def step(self) -> list[News]:
        """Compute one round: new pieces, failures, and None after the last piece of a request."""
        news: list[News] = []
        for id, pieces in list(self._pieces.items()):
            news += self._next_piece(id, pieces)
        if not self._scheduler or not self._scheduler.busy:
            return news
        for id, token, is_last, reused, logprobs in self._scheduler.step():
            found = token if isinstance(token, Exception) else self._piece(id, is_last, reused, logprobs)
            news.append((id, found))
            if is_last and isinstance(found, Piece):
                news.append((id, None))
            if is_last or isinstance(found, Exception):
                self.cancel(id)
        return news

    def _piece(self, id: int, is_last: bool, reused: int, logprobs: Logprobs | None) -> Piece | Exception:
        """The piece of a request's latest token, or its failure."""
        assert self._scheduler
        try:
            return self._answers[id].piece(is_last, self._scheduler.slot_memory, reused=reused, logprobs=logprobs)
        except Exception as error:
            return error

    def _next_piece(self, id: int, pieces: Iterator[Piece]) -> Iterator[News]:
        """Advance a request alone."""
        piece: Piece | None = None
        failure: Exception | None = None
        self._alone = id
        try:
            piece = next(pieces, None)
        except Exception as error:  # of this request alone, even where nobody expected it
            failure = error
        finally:
            self._alone = None
        if piece:
            yield id, piece
        if not piece or piece.stop:
            self.cancel(id)
            yield id, failure

    @property
    def alone(self) -> int | None:
        """The request that is computed alone at the moment."""
        return self._alone if self._alone is not None or not self._scheduler else self._scheduler.alone

    @property
    def slots(self) -> int:
        """The number of requests that hold keys and values."""
        return len(self._pieces) + (self._scheduler.slots if self._scheduler else 0)

    @property
    def busy(self) -> bool:
        """Tell whether a request is open."""
        return bool(self._answers or self._pieces)


def _pieces(model: Any, tokenizer: Any, request: Request) -> Iterator[Piece]:
    engine = engine_for(model, request.sampling, request.others)
    tokens = engine.generate(request.ids, request.allowed, request.sampling, request.stops, request.owner)
    answer = Answer(model, tokenizer, request)
    told = ((token, engine.logprobs) for token in tokens)
    with closing(tokens), closing(_with_end(told, request.allowed, request.stops, bool(request.others))) as tagged:  # type: ignore[type-var]
        for count, (token, logprobs, is_last) in enumerate(tagged, 1):
            memory = engine.cache_memory(len(request.ids) + count)
            is_last |= answer.add(token)
            yield answer.piece(is_last, memory, engine.acceptance, engine.reused, logprobs)
            if is_last:
                return


def _with_end(
    told: Iterator[Told], allowed: int, stops: Collection[int], looks_ahead: bool
) -> Iterator[tuple[int, Logprobs | None, bool]]:
    """Yield tokens and log-probabilities, with whether they are the last; one token late if something besides stops and
    length can end them.
    """
    if not looks_ahead:
        for count, (token, logprobs) in enumerate(told, 1):
            yield token, logprobs, count == allowed or token in stops
        return
    held = next(told, None)
    while held is not None:
        following = next(told, None)
        yield *held, following is None
        held = following
