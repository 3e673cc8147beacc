"""Answers of ChatGLM3 and its successors in messages, and the calls of tools in them."""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import ToolCallError, shortened
from ...history import as_messages
from ...messages import Message
from .conversation import YEAR, as_template_message

RoleHistory = list[dict[str, Any]]  # messages by the names of their parts, as published
_TURN = "<|assistant|>"
_CALL = "tool_call"  # the function that ChatGLM3 writes, whatever the tool


def read_answer(raw: str) -> list[Message]:
    """The messages of an answer, which names a tool in the first line of each, or leaves this line empty.

    raw: the text of the answer, with control tokens by their names.
    """
    messages = []
    for part in raw.split(_TURN):
        metadata, line_break, content = part.partition("\n")
        if not line_break:
            metadata, content = "", part
        messages.append(Message("assistant", content if metadata.strip() else content.strip(), metadata))
    return messages


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


def read_call(generation: str, content: str) -> Any:
    """The parameters of a call. Nothing is evaluated: they are JSON, or for ChatGLM3 Python literals.

    Raises:
        ToolCallError: the text is something else.
    """
    try:
        if generation != "chatglm3":
            return json.loads(content)
        code = "\n".join(content.split("\n")[1:-1])  # between the lines of a code fence
        return _literals(code)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        form = "tool_call(name=literal, …) in a code fence" if generation == "chatglm3" else "JSON"
        shown = shortened(" ".join(content.split()))[:200]
        raise ToolCallError(f"The answer calls a tool, but not as {form}: {shown!r}. Ask again.") from error


def _literals(code: str) -> Any:
    call = ast.parse(code.strip(), mode="eval").body
    if not isinstance(call, ast.Call):
        return ast.literal_eval(call)
    if not isinstance(call.func, ast.Name) or call.func.id != _CALL or call.args:
        raise ValueError("another function, or parameters without names")
    names = [keyword.arg for keyword in call.keywords]
    if None in names or len({*names}) < len(names):
        raise ValueError("parameters without names, or of the same name")
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
