"""Clean-up of an answer while it grows: only its end is checked again."""

from collections.abc import Callable

# A cut is safe between two characters that no rule of the clean-up looks at together.
_UNSAFE = frozenset(",!:;?[]训练时间")
_FARTHEST = 64


class Cleaner:
    """Applies `clean` (rules on neighbouring characters and short phrases, and a strip) to a growing text."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._done = ""
        self._end = ""

    def add(self, text: str) -> str:
        """Takes more text; returns all of it, cleaned."""
        self._end += text
        cut = self._safe_cut()
        if cut:
            self._done += self._clean("." + self._end[:cut])[1:] if self._done else self._clean(self._end[:cut])
            self._end = self._end[cut:]
        return (self._done + self._clean("." + self._end)[1:]) if self._done else self._clean(self._end)

    def _safe_cut(self) -> int:
        """Where the end may be cut so that the part before it will not change; 0: nowhere."""
        end = self._end
        for place in range(len(end) - 1, max(len(end) - _FARTHEST, 0), -1):
            if _is_safe(end[place]) and _is_safe(end[place - 1]):
                return place
        return 0


def _is_safe(character: str) -> bool:
    return character not in _UNSAFE and not character.isspace()
