"""The messages of a conversation."""

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "observation"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """An answer that calls a tool; nothing runs it."""

    name: str
    content: str  # as the model wrote it
    arguments: str | None = None  # as JSON; None if they cannot be read
    fault: str | None = None  # the reason for that, in one line


@dataclass(frozen=True, slots=True)
class Message:
    """A text and the role of its speaker.

    metadata: the name of the tool that an assistant's message calls; empty for all others.
    tools: descriptions of the tools that a system's message offers, as JSON values; None for all others.
    """

    role: Role
    content: str
    metadata: str = ""
    tools: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class RawText:
    """A text that a model goes on with as it stands, outside any conversation. No control token comes from it."""

    text: str
