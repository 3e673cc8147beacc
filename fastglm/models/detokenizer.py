"""Text from single tokens, at a cost that does not grow with the length of the answer."""

from collections.abc import Callable, Sequence

# With each new token, at least and at most so many earlier ones are decoded again for context; and so many at most wait
# for the rest of a character.
_CONTEXT, _LONGEST_CONTEXT, _LONGEST_WAIT = 4, 8, 8


class Detokenizer:
    """Decodes ids one by one; bytes of an unfinished character wait until it is whole."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []  # the context, then the waiting tokens
        self._known = ""  # text of the context
        self._waiting = 0

    def add(self, token: int) -> str:
        """Add a token; returns the text that it completes, often none."""
        self._ids.append(token)
        self._waiting += 1
        return self._take(final=False)

    def finish(self) -> str:
        """The text of the waiting tokens."""
        return self._take(final=True)

    def _take(self, final: bool) -> str:
        text = self._decode(self._ids)
        if text.endswith("\ufffd") and not final and self._waiting < _LONGEST_WAIT:
            return ""
        new = text[len(self._known) :]
        self._known, self._waiting = text, 0
        if len(self._ids) >= _LONGEST_CONTEXT:
            self._ids = self._ids[-_CONTEXT:]
            self._known = self._decode(self._ids)
        return new
