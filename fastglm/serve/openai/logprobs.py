"""OpenAI's log-probabilities of the tokens of an answer, for chats and for completions."""

from collections.abc import Sequence
from typing import Any

from fastglm.generation.piece import Piece


class TokenTexts:
    """The texts of the tokens of a vocabulary."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens

    def text(self, token: int) -> str:
        """The text of a token; a part of a character becomes a replacement character."""
        return self._tokens[token].decode(errors="replace")

    def of_chat(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The log-probabilities of pieces in a chat."""
        content = [
            {
                **self._entry(piece.token, piece.logprob),
                "top_logprobs": [self._entry(*top) for top in piece.top_logprobs],
            }
            for piece in pieces
        ]
        return {"content": content, "refusal": None}

    def of_completion(self, pieces: Sequence[Piece], start: int) -> dict[str, Any]:
        """The log-probabilities of pieces in a completion, whose text begins at character `start`."""
        texts = [self.text(piece.token) for piece in pieces]
        tops = [{self.text(token): value for token, value in piece.top_logprobs} for piece in pieces]
        return {
            "tokens": texts,
            "token_logprobs": [piece.logprob for piece in pieces],
            "top_logprobs": tops,
            "text_offset": [start + sum(map(len, texts[:number])) for number in range(len(texts))],
        }

    def _entry(self, token: int, logprob: float | None) -> dict[str, Any]:
        return {"token": self.text(token), "logprob": logprob, "bytes": list(self._tokens[token])}
