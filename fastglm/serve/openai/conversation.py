"""OpenAI's messages and tools as a conversation with a model."""

from collections.abc import Sequence
from typing import Any

from fastglm.errors import ToolCallError
from fastglm.messages import Message
from fastglm.models.glm.calls import write_call
from fastglm.serve.errors import ApiError
from fastglm.serve.facts import ModelFacts
from fastglm.serve.openai.bodies import ChatBody, ChatMessage, Tool

# As published for ChatGLM3, where a conversation with tools begins with it.
_WITH_TOOLS = "Answer the following questions as best as you can. You have access to the following tools:"


def read_conversation(body: ChatBody, facts: ModelFacts) -> list[Message]:
    """The messages of a request; the last one is to be answered.

    Raises:
        ApiError: the model does not know such messages.
    """
    messages: list[Message] = []
    for number, message in enumerate(body.messages):
        messages += _messages(message, f"messages.{number}", facts)
    if messages[-1].role not in ("user", "observation"):
        raise ApiError(400, "The last message must be a user's, or the result of a tool.", "messages")
    tools = offered(body)
    if tools and not facts.has_tools:
        raise ApiError(400, "This model cannot call tools: leave them out.", "tools")
    _check_strict(body, facts)
    return _with_tools(messages, tools, facts) if tools else messages


def offered(body: ChatBody) -> Sequence[Tool]:
    """The tools that the model may call."""
    return () if body.tool_choice == "none" else body.tools or ()


def must_call(body: ChatBody) -> Sequence[Tool]:
    """The tools of which the answer must call one; none if the model decides. Raises ApiError for another choice."""
    chosen: Sequence[Tool] = ()
    match body.tool_choice:
        case None | "auto" | "none":
            return ()
        case "required":
            chosen = body.tools or ()
        case {"type": "function", "function": {"name": str(name), **more}, **others} if not more and not others:
            chosen = [tool for tool in body.tools or () if tool.function.name == name]
        case _:
            raise ApiError(400, "tool_choice is auto, none, required, or names a function.", "tool_choice")
    if not chosen:
        raise ApiError(400, "tool_choice needs tools that hold its choice.", "tool_choice")
    return chosen


def _check_strict(body: ChatBody, facts: ModelFacts) -> None:
    """Refuse to promise that a schema is followed, where that is not sure."""
    is_sure = bool(must_call(body)) and facts.generation != "chatglm3"
    for number, tool in enumerate(offered(body)):
        if tool.function.strict and not is_sure:
            raise ApiError(
                400,
                "Calls follow a schema strictly for GLM-4 alone, with a tool_choice of required or a function.",
                f"tools.{number}.function.strict",
            )


def _messages(message: ChatMessage, param: str, facts: ModelFacts) -> list[Message]:
    role = {"developer": "system", "tool": "observation"}.get(message.role, message.role)
    if role not in facts.roles:
        known = ", ".join("tool" if known == "observation" else known for known in facts.roles)
        raise ApiError(400, f"This model knows no {message.role} messages, only {known}.", f"{param}.role")
    calls = message.tool_calls or []
    if calls and role != "assistant":
        raise ApiError(400, "Only the assistant calls tools.", f"{param}.tool_calls")
    if len(calls) > 1:
        raise ApiError(400, "This model calls one tool in a message.", f"{param}.tool_calls")
    if calls and not facts.has_tools:
        raise ApiError(400, "This model cannot call tools.", f"{param}.tool_calls")
    if message.content is None and not calls:
        raise ApiError(400, "The message has no content.", f"{param}.content")
    found = [Message(role, message.content)] if message.content or not calls else []  # type: ignore[arg-type]
    for call in calls:
        try:
            written = write_call(str(facts.generation), call.function.arguments)
        except ToolCallError as error:
            raise ApiError(400, str(error), f"{param}.tool_calls.0.function.arguments") from error
        found.append(Message("assistant", written, call.function.name))
    return found


def _with_tools(messages: list[Message], tools: Sequence[Tool], facts: ModelFacts) -> list[Message]:
    """A conversation that begins with tools; ChatGLM3 reads their functions alone."""
    told: list[Any] = [tool.model_dump(exclude_none=True) for tool in tools]
    if facts.generation == "chatglm3":
        told = [tool["function"] for tool in told]
    first = messages[0]
    if first.role == "system":
        return [Message("system", first.content, tools=tuple(told)), *messages[1:]]
    opening = _WITH_TOOLS if facts.generation == "chatglm3" else ""
    return [Message("system", opening, tools=tuple(told)), *messages]
