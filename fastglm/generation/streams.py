"""The answers of one loaded model that are on their way at the same time."""

from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any

from ..engine import ENGINES, EagerEngine, engine_name
from ..errors import FastGLMError
from .answer import Answer
from .piece import Piece
from .request import Request, read_request

Tagged = tuple[int, bool]  # a token, and whether it is the last
News = tuple[int, Piece | FastGLMError | None]  # of a request: a new piece, its failure, or its end


class Streams:
    """Requests that are answered side by side. One that fails, or is cancelled, leaves the others untouched.

    `alone` is the request that is being worked on by itself, None while all share a step. Only where it is not None
    may an exception be raised into `step` from outside (a signal), and that request fails by it.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._pieces: dict[int, Iterator[Piece]] = {}
        self.alone: int | None = None

    def add(self, id: int, prompt: str | list[int], history: Any = None, **settings: Any) -> None:
        """Takes a request up, with the arguments of `fastglm.stream`; raises its errors. `id` is free for reuse once
        the request has ended."""
        assert id not in self._pieces, f"request {id} is running"
        request = read_request(self._model, self._tokenizer, prompt, history, **settings)
        self._pieces[id] = _pieces(self._model, self._tokenizer, request)

    def cancel(self, id: int) -> None:
        """Forgets a request, running or ended, and frees what it held."""
        if pieces := self._pieces.pop(id, None):
            pieces.close()  # type: ignore[attr-defined]  # a generator

    def step(self) -> list[News]:
        """Works one round: new pieces, failures, and None behind the last piece of a request."""
        news: list[News] = []
        for id, pieces in list(self._pieces.items()):
            piece: Piece | None = None
            failure: FastGLMError | None = None
            self.alone = id
            try:
                piece = next(pieces, None)
            except FastGLMError as error:
                failure = error
            finally:
                self.alone = None
            if piece:
                news.append((id, piece))
            if not piece or piece.stop:
                news.append((id, failure))
                self.cancel(id)
        return news

    @property
    def busy(self) -> bool:
        """Whether a request is on its way."""
        return bool(self._pieces)


def _pieces(model: Any, tokenizer: Any, request: Request) -> Iterator[Piece]:
    engine = EagerEngine(model, request.others) if request.others else ENGINES[engine_name(model)](model)
    tokens = engine.generate(request.ids, request.allowed, request.sampling, request.stops)
    answer = Answer(model, tokenizer, request)
    with closing(_with_end(tokens, request.allowed, request.stops, bool(request.others))) as tagged:  # type: ignore[type-var]
        for count, (token, is_last) in enumerate(tagged, 1):
            yield answer.piece(token, is_last, engine.cache_memory(len(request.ids) + count), engine.acceptance)


def _with_end(tokens: Iterator[int], allowed: int, stops: Collection[int], looks_ahead: bool) -> Iterator[Tagged]:
    """Tokens, each with whether it is the last; one behind where something else than ends and length can end them."""
    with closing(tokens):  # type: ignore[type-var]  # a generator
        if not looks_ahead:
            for count, token in enumerate(tokens, 1):
                yield token, count == allowed or token in stops
            return
        held = next(tokens, None)
        while held is not None:
            following = next(tokens, None)
            yield held, following is None
            held = following
