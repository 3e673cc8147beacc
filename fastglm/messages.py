"""Messages, of which a conversation is made."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "observation"]


@dataclass(frozen=True, slots=True)
class Message:
    """A text, and who says it."""

    role: Role
    content: str
