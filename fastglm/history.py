"""A conversation so far, in the forms that callers have it in."""

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import UsageError

History = list[tuple[str, str]]  # (question, answer), the oldest first

_WANTED = "a history is a list of (query, response), or of {'role': 'user' | 'assistant', 'content': …} in turn"


def as_history(history: Any) -> History:
    """The rounds of a history, given as pairs of texts or as messages with roles; None means no rounds.

    Raises:
        UsageError: any other form.
    """
    if history is None:
        return []
    if isinstance(history, (str, bytes, Mapping)) or not isinstance(history, Iterable):
        raise UsageError(f"The history is of {type(history).__name__}: {_WANTED}.")
    rounds = list(history)
    if any(isinstance(part, Mapping) for part in rounds):
        return _of_messages(rounds)
    return [_pair(part, number) for number, part in enumerate(rounds, 1)]


def _pair(part: Any, number: int) -> tuple[str, str]:
    if not isinstance(part, (list, tuple)) or len(part) != 2:
        raise UsageError(f"Round {number} of the history is no pair ({type(part).__name__}): {_WANTED}.")
    for text, name in zip(part, ("query", "response"), strict=True):
        if not isinstance(text, str):
            raise UsageError(f"Round {number} of the history has a {name} that is no text ({_kind(text)}): {_WANTED}.")
    return part[0], part[1]


def _of_messages(messages: list[Any]) -> History:
    """Make pairs of alternating messages of user and assistant."""
    texts: list[str] = []
    for number, message in enumerate(messages, 1):
        wanted = ("user", "assistant")[len(texts) % 2]
        role = message.get("role") if isinstance(message, Mapping) else None
        if role == "system":
            raise UsageError("ChatGLM-6B knows no system role: put what it says into the first query.")
        if role != wanted:
            raise UsageError(f"Message {number} of the history is of the role {role!r}, not {wanted!r}: {_WANTED}.")
        if not isinstance(message.get("content"), str):
            raise UsageError(f"Message {number} of the history has no text as its content: {_WANTED}.")
        texts.append(message["content"])
    if len(texts) % 2:
        raise UsageError("The history ends with a user's message that has no answer: give that as the query.")
    return list(zip(texts[::2], texts[1::2], strict=True))


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
