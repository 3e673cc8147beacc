"""Stop texts: an answer ends before the first of them, and none of its pieces shows a part of one."""

from collections.abc import Sequence

from ..errors import UsageError


class StopTexts:
    """Looks for some texts in a growing one. The first to be complete is found, however the growing text is cut; the
    longer one if two are complete at the same character.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(texts)
        self._longest = max(map(len, self._texts), default=1)
        self._held = ""
        self.found = False

    def add(self, text: str) -> str:
        """Add text; returns the next part of the text that is certainly before a stop text."""
        if self.found:
            return ""
        text = self._held + text
        shown = self.shown(text)
        self._held = "" if self.found else text[len(shown) :]
        return shown

    def finish(self) -> str:
        """The rest of the text, which no stop text has followed."""
        held, self._held = self._held, ""
        return held

    def shown(self, text: str, is_last: bool = False) -> str:
        """The part of a whole text before a stop text, or before a beginning of one at the end; if the text is the
        last, such a beginning is shown.
        """
        if not self._texts:
            return text
        ends = [(place + len(stop), place) for stop in self._texts if (place := text.find(stop)) >= 0]
        if ends:
            self.found = True
            return text[: min(ends)[1]]
        return text if is_last else text[: len(text) - self._begun(text)]

    def _begun(self, text: str) -> int:
        """The length of the longest end of a text with which a stop text begins."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._texts):
                return length
        return 0


def check_stop_texts(texts: Sequence[str]) -> tuple[str, ...]:
    """Return stop texts as users give them. Raises UsageError unless all are texts of at least one character."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise UsageError(f"stop must be a list of texts (got {type(texts).__name__}).")
    for text in texts:
        if not isinstance(text, str) or not text:
            raise UsageError(f"stop must hold texts of at least one character (got {text!r}).")
    return tuple(texts)
