"""Owners of conversations, who do not read again what an earlier request of theirs has read."""

import hashlib
from collections.abc import Sequence

from fastglm.messages import Message


def owner_of(messages: Sequence[Message], user: str | None = None) -> str:
    """The owner of a conversation: its user, if the request names one; otherwise all who know how it begins.

    Nobody can then learn from the time to the first token how the conversation of another began.
    """
    if user:
        return f"user {user}"
    first = next((number for number, message in enumerate(messages) if message.role == "user"), len(messages))
    return "conversation " + hashlib.sha256(repr(messages[: first + 1]).encode()).hexdigest()
