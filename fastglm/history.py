"""A conversation so far, in the forms in which callers give it."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, get_args

from .errors import UsageError
from .messages import Message, Role

History = list[tuple[str, str]]  # (question, answer), the oldest first

_WANTED = "a history is a list of (query, response), or of messages such as {'role': 'user', 'content': '…'}"


def as_messages(history: Any) -> list[Message]:
    """The messages of a history, given as pairs of texts or as messages with roles; None means none.

    Raises:
        UsageError: any other form.
    """
    if history is None:
        return []
    if isinstance(history, (str, bytes, Mapping)) or not isinstance(history, Iterable):
        raise UsageError(f"The history is of {type(history).__name__}: {_WANTED}.")
    parts = list(history)
    if any(isinstance(part, Mapping | Message) for part in parts):
        return [_message(part, number) for number, part in enumerate(parts, 1)]
    return of_rounds([_pair(part, number) for number, part in enumerate(parts, 1)])


def of_rounds(rounds: Iterable[tuple[str, str]], *question: str) -> list[Message]:
    """Messages of a user and an assistant in turn, and the question that is to be answered."""
    texts = [*(text for pair in rounds for text in pair), *question]
    return [Message("assistant" if number % 2 else "user", text) for number, text in enumerate(texts)]


def as_history(history: Any) -> History:
    """The rounds of a history in any form. Raises UsageError if user and assistant do not take turns."""
    messages = as_messages(history)
    check_turns([*messages, Message("user", "")])
    texts = [message.content for message in messages]
    return list(zip(texts[::2], texts[1::2], strict=True))


def without_oldest(messages: Sequence[Message]) -> list[Sequence[Message]]:
    """A conversation that ends with a question: the whole, then without its oldest round, and so on to the last one.

    System messages at its beginning stay.
    """
    asked = [number for number, message in enumerate(messages) if message.role == "user"]
    system = list(takewhile(lambda message: message.role == "system", messages))
    return [messages, *([*system, *messages[first:]] for first in asked[1:])]


def check_turns(messages: Sequence[Message]) -> None:
    """Raise UsageError where user and assistant do not take turns, up to the user's message that is to be answered.

    For models that were published with rounds, which know no other roles.
    """
    if any(message.role == "system" for message in messages):
        raise UsageError("This model knows no system role: put the system's text into the first query.")
    for number, message in enumerate(messages, 1):
        wanted = ("user", "assistant")[(number - 1) % 2]
        if message.role == wanted:
            continue
        if number == len(messages) and message.role == "user":
            raise UsageError("The history ends with a user's message that has no answer: give it as the query.")
        raise UsageError(
            f"Message {number} of the history has the role {message.role!r}, not {wanted!r}: "
            "with this model, user and assistant take turns."
        )


def _pair(part: Any, number: int) -> tuple[str, str]:
    if not isinstance(part, (list, tuple)) or len(part) != 2:
        raise UsageError(f"Round {number} of the history is not a pair ({type(part).__name__}): {_WANTED}.")
    for text, name in zip(part, ("query", "response"), strict=True):
        if not isinstance(text, str):
            raise UsageError(
                f"Round {number} of the history has a {name} that is not a text ({_kind(text)}): {_WANTED}."
            )
    return part[0], part[1]


def _message(part: Any, number: int) -> Message:
    if isinstance(part, Message):
        return part
    role: Any = part.get("role") if isinstance(part, Mapping) else None
    if role not in get_args(Role):
        raise UsageError(
            f"Message {number} of the history has the role {role!r}: roles are {', '.join(get_args(Role))}."
        )
    content, metadata, tools = part.get("content"), part.get("metadata") or "", part.get("tools")
    if content is None and tools:
        content = ""
    if not isinstance(content, str):
        raise UsageError(f"Message {number} of the history has no text as its content: {_WANTED}.")
    if not isinstance(metadata, str):
        raise UsageError(f"Message {number} of the history has metadata that are no text ({_kind(metadata)}).")
    if not isinstance(tools, list | tuple | None):
        raise UsageError(f"Message {number} of the history has tools that are no list ({_kind(tools)}).")
    return Message(role, content, metadata, None if tools is None else tuple(tools))


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
