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
    return _with_tools(messages, tools, facts) if tools else messages


def offered(body: ChatBody) -> Sequence[Tool]:
    """The tools that the model may call. Raises ApiError for a choice that cannot be promised."""
    if body.tool_choice == "none":
        return ()
    if body.tool_choice not in (None, "auto"):
        raise ApiError(400, "The model itself decides about its calls: tool_choice is auto or none.", "tool_choice")
    return body.tools or ()


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
