"""Clean-up of an answer while it grows: only its end is checked again."""

from collections.abc import Callable, Collection

_FARTHEST = 64


class Cleaner:
    """Applies `clean` (rules on neighbouring characters and short phrases, and a strip) to a growing text.

    looked_at: the characters that those rules look at; the text is never cut beside one of them.
    """

    def __init__(self, clean: Callable[[str], str], looked_at: Collection[str]) -> None:
        self._clean, self._looked_at = clean, looked_at
        self._done = ""
        self._end = ""

    def add(self, text: str) -> str:
        """Add text; returns the whole answer so far, cleaned."""
        self._end += text
        cut = self._safe_cut()
        if cut:
            self._done += self._clean("." + self._end[:cut])[1:] if self._done else self._clean(self._end[:cut])
            self._end = self._end[cut:]
        return (self._done + self._clean("." + self._end)[1:]) if self._done else self._clean(self._end)

    def _safe_cut(self) -> int:
        """The last place at which the text may be cut so that the part before it will not change; 0: none."""
        end = self._end
        for place in range(len(end) - 1, max(len(end) - _FARTHEST, 0), -1):
            if self._is_safe(end[place]) and self._is_safe(end[place - 1]):
                return place
        return 0

    def _is_safe(self, character: str) -> bool:
        return character not in self._looked_at and not character.isspace()
