"""Answers of ChatGLM3 and its successors as published: with the history, and the calls of tools."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import ToolCallError
from ...history import as_messages
from .calls import read_answer, read_call
from .conversation import YEAR, as_template_message

RoleHistory = list[dict[str, Any]]  # messages by the names of their parts, as published


def role_history(history: Any) -> RoleHistory:
    """A history in the published form, from any form of `fastglm.history`. Messages in this form stay as they are."""
    given = list(history) if isinstance(history, Iterator) else history
    messages = as_messages(given)
    parts = given if messages and len(messages) == len(given) else messages
    pairs = zip(parts, messages, strict=True)
    return [dict(part) if isinstance(part, Mapping) else as_template_message(message) for part, message in pairs]


def process_response(
    generation: str, raw: str, history: Sequence[Mapping[str, Any]], is_whole: bool = True
) -> tuple[Any, RoleHistory]:
    """An answer as published: its text, or a dict with the name of the tool that it calls; and the history with it.

    The parameters of a call are read if the history begins with a system message that offers tools.

    Args:
        is_whole: the answer has come to its end; if not, a call that cannot be read yet is given as text.

    Raises:
        ToolCallError: the call is neither a literal nor JSON.
    """
    said = read_answer(raw)
    after = [*map(dict, history), *({"role": m.role, "metadata": m.metadata, "content": m.content} for m in said)]
    last = said[-1]
    name = last.metadata.strip()
    if not name:
        return last.content.replace(*YEAR), after
    if history and history[0].get("role") == "system" and "tools" in history[0]:
        try:
            return {"name": name, "parameters": read_call(generation, last.content)}, after
        except ToolCallError:
            if is_whole:
                raise
    return {"name": name, "content": last.content}, after
