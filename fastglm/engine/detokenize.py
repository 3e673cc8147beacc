"""Text from tokens as they come, at a cost that does not grow with what came before."""

from collections.abc import Callable, Sequence

# Tokens decoded again for context with each new one, and the most that wait for the rest of a character.
_CONTEXT, _LONGEST_WAIT = 4, 8


class Detokenizer:
    """Decodes ids one by one; bytes of an unfinished character wait until it is whole."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._context = 0  # where the ids begin that are decoded as context
        self._shown = 0  # ids before this are in the text already

    def add(self, token: int) -> str:
        """The text that this token completes; often none."""
        self._ids.append(token)
        return self._take(final=False)

    def finish(self) -> str:
        """What still waits."""
        return self._take(final=True)

    def _take(self, final: bool) -> str:
        known = self._decode(self._ids[self._context : self._shown])
        text = self._decode(self._ids[self._context :])
        waiting = len(self._ids) - self._shown
        if text.endswith("\ufffd") and not final and waiting < _LONGEST_WAIT:
            return ""
        self._shown = len(self._ids)
        self._context = max(self._context, self._shown - _CONTEXT)
        return text[len(known) :]
