"""The messages of a conversation."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "observation"]


@dataclass(frozen=True, slots=True)
class Message:
    """A text and the role of its speaker."""

    role: Role
    content: str
