"""The text of an answer in additions that are never taken back."""

from collections.abc import Collection

from fastglm.generation.piece import Piece
from fastglm.messages import ToolCall
from fastglm.serve.facts import ModelFacts


class GrowingText:
    """Holds back the end of a growing answer while the clean-up may still change it, or a call of a tool may begin."""

    def __init__(self, facts: ModelFacts, tools: Collection[str] = ()) -> None:
        """`tools` are the names of the tools that the answer may call; calls of others are text."""
        self._facts, self._tools = facts, tools
        self._sent = ""
        self._turn: int | None = None  # characters before the latest message of the answer, after its first one
        self.call: ToolCall | None = None

    def add(self, piece: Piece) -> str:
        """Add a piece; returns the text that it adds for good."""
        settled = self._end(piece) if piece.stop else self._settled(piece)
        new = settled[len(self._sent) :]
        self._sent += new
        return new

    @property
    def text(self) -> str:
        """The text so far."""
        return self._sent

    def _settled(self, piece: Piece) -> str:
        """The part of a growing text that will stay."""
        text = piece.text
        while text and (text[-1].isspace() or text[-1] in self._facts.looked_at):
            text = text[:-1]
        if not self._tools:
            return text
        if piece.token == self._facts.turn:
            self._turn = len(piece.text)
        if self._turn is not None:
            return text[: self._turn]
        line, line_break, _ = text.partition("\n")
        held = line in self._tools if line_break else any(name.startswith(line) for name in self._tools)
        return "" if held else text

    def _end(self, piece: Piece) -> str:
        """The whole text, without the call of a tool at its end."""
        call = piece.call
        if call is None or call.arguments is None or call.name not in self._tools:
            return piece.text
        self.call = call
        return piece.text[: self._turn or 0]
