"""Answers of a plain generator of pieces, side by side: each gives one piece in turn."""

from collections.abc import Callable, Generator, Sequence
from typing import Any

from fastglm.generation.piece import Piece
from fastglm.messages import Message, RawText


class InTurn:
    """Replaces `fastglm.generation.streams.Streams` for models that share no step between answers."""

    def __init__(self, stream: Callable[..., Generator[Piece]], model: Any, tokenizer: Any) -> None:
        self.alone: int | None = None
        self._stream, self._model, self._tokenizer = stream, model, tokenizer
        self._pieces: dict[int, Generator[Piece]] = {}

    @property
    def slots(self) -> int:
        """The number of open answers."""
        return len(self._pieces)

    @property
    def busy(self) -> bool:
        """Tell whether an answer is running."""
        return bool(self._pieces)

    def add(
        self, id: int, prompt: str | Message | RawText | list[int], history: Sequence[Message] = (), **settings: Any
    ) -> None:
        """Begin an answer. Raises the errors of the generator's function."""
        self._pieces[id] = self._stream(self._model, self._tokenizer, prompt, history, **settings)

    def cancel(self, id: int) -> None:
        """Forget an answer."""
        if pieces := self._pieces.pop(id, None):
            pieces.close()

    def step(self) -> list[tuple[int, Piece | Exception | None]]:
        """The next piece of each answer, its failure, or None at its end."""
        return [(id, self._next(id)) for id in list(self._pieces)]

    def _next(self, id: int) -> Piece | Exception | None:
        try:
            self.alone = id
            found: Piece | Exception | None = next(self._pieces[id], None)
        except Exception as error:
            found = error
        finally:
            self.alone = None
        if not isinstance(found, Piece):
            self.cancel(id)
        return found
