"""Answers of ChatGLM3 and its successors in messages, and the calls of tools in them."""

import ast
import json
import re
from keyword import iskeyword
from typing import Any

from ...errors import ToolCallError, shortened
from ...messages import Message, ToolCall

_TURN = "<|assistant|>"
_CALL = "tool_call"  # the function that ChatGLM3 writes, whatever the tool
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)  # of a tool: the first line of other answers is empty


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


def find_call(generation: str, raw: str) -> ToolCall | None:
    """The call of a tool at the end of a whole answer; None if it calls none.

    raw: the text of the answer, with control tokens by their names.
    """
    last = read_answer(raw)[-1]
    name = last.metadata.strip()
    if not _NAME.fullmatch(name):
        return None
    try:
        arguments = read_call(generation, last.content)
    except ToolCallError as error:
        return ToolCall(name, last.content, fault=str(error))
    return ToolCall(name, last.content, json.dumps(arguments, ensure_ascii=False, default=repr))


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


def write_call(generation: str, arguments: str) -> str:
    """The parameters of a call, given as a JSON object, as the model writes them.

    Raises:
        ToolCallError: they are no JSON object, or have names that cannot be written.
    """
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise ToolCallError("The arguments of the call are not valid JSON.") from error
    if not isinstance(given, dict):
        raise ToolCallError("The arguments of the call are no JSON object.")
    if generation != "chatglm3":
        return json.dumps(given, ensure_ascii=False)
    for name in given:
        if not name.isidentifier() or iskeyword(name):
            raise ToolCallError(f"{shortened(repr(name))[:100]} is no name that ChatGLM3 can give to a parameter.")
    written = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"```python\n{_CALL}({written})\n```"


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
