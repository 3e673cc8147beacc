"""Questions to a server by the clients that people use; runs in an environment of its own, and prints the answers.

Arguments: the address of a server of ChatGLM3, its model's name, and the address of a server of ChatGLM-6B.
"""

import asyncio
import json
import sys
from typing import Any

import litellm
import openai
from langchain_community.llms import ChatGLM
from langchain_community.llms.chatglm3 import ChatGLM3
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

QUESTION, SYSTEM, TOKENS = "你好", "短。", 24
SAID: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
PARAMETERS = {"type": "object", "properties": {"city": {"enum": ["a", "b"]}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "w", "parameters": PARAMETERS}
TOOLS: list[Any] = [{"type": "function", "function": FUNCTION}]


class Plan(BaseModel):
    """A plan."""

    exact: bool


def langchain(url: str, model: str, pairs: str) -> dict[str, Any]:
    first = ChatGLM(endpoint_url=pairs, max_token=80, temperature=0, with_history=True)
    published = ChatGLM(endpoint_url=url, max_token=80, temperature=0)
    third = ChatGLM3(
        endpoint_url=f"{url}/v1/chat/completions",
        model=model,
        max_tokens=TOKENS,
        temperature=0,
        prefix_messages=[SystemMessage(SYSTEM)],
    )
    known: Any = {"base_url": f"{url}/v1", "api_key": "none", "model": model, "temperature": 0, "max_retries": 0}
    chat, messages = ChatOpenAI(**known, max_tokens=TOKENS), [SystemMessage(SYSTEM), HumanMessage(QUESTION)]
    free = ChatOpenAI(**known)
    called = free.bind_tools(TOOLS, tool_choice="any").invoke(QUESTION).tool_calls
    named = free.bind_tools(TOOLS, tool_choice="get_weather", parallel_tool_calls=False).invoke(QUESTION).tool_calls
    texts = OpenAI(**known, max_tokens=TOKENS)
    return {
        "ChatGLM": [first.invoke(QUESTION), first.invoke("2")],
        "ChatGLM, of ChatGLM3": published.invoke(QUESTION),
        "ChatGLM3": third.invoke(QUESTION),
        "ChatOpenAI": chat.invoke(messages).content,
        "ChatOpenAI, streamed": "".join(str(chunk.content) for chunk in chat.stream(messages)),
        "ChatOpenAI, asynchronous": asyncio.run(chat.ainvoke(messages)).content,
        "ChatOpenAI, tools": [(call["name"], call["args"]) for call in called],
        "ChatOpenAI, a tool": [(call["name"], call["args"]) for call in named],
        "ChatOpenAI, a form": free.with_structured_output(Plan).invoke(QUESTION).model_dump(),
        "ChatOpenAI, a form by a tool": free.with_structured_output(Plan, method="function_calling")
        .invoke(QUESTION)
        .model_dump(),
        "OpenAI": texts.invoke(QUESTION),
    }


def lite(url: str, model: str) -> dict[str, Any]:
    known: Any = {"api_base": f"{url}/v1", "api_key": "none", "temperature": 0, "max_retries": 0}
    chat = {**known, "model": f"openai/{model}", "messages": SAID, "max_tokens": TOKENS}
    forced = {**known, "model": f"openai/{model}", "messages": SAID[1:], "tools": TOOLS, "tool_choice": "required"}
    text = {**known, "model": f"text-completion-openai/{model}", "prompt": QUESTION, "max_tokens": TOKENS}
    (call,) = litellm.completion(**forced).choices[0].message.tool_calls
    return {
        "LiteLLM": litellm.completion(**chat).choices[0].message.content,
        "LiteLLM, streamed": "".join(
            chunk.choices[0].delta.content or "" for chunk in litellm.completion(**chat, stream=True)
        ),
        "LiteLLM, asynchronous": asyncio.run(litellm.acompletion(**chat)).choices[0].message.content,
        "LiteLLM, tools": [(call.function.name, json.loads(call.function.arguments))],
        "LiteLLM, texts": litellm.text_completion(**text).choices[0].text,
    }


def plain(url: str, model: str) -> dict[str, Any]:
    known: Any = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}
    chat: Any = {"model": model, "messages": SAID, "temperature": 0, "max_tokens": TOKENS}
    forced: Any = {"model": model, "messages": SAID[1:], "temperature": 0, "tools": TOOLS, "tool_choice": "required"}

    async def ask() -> Any:
        async with openai.AsyncOpenAI(**known) as client:
            answer = await client.chat.completions.create(**chat)
            stream = await client.chat.completions.create(**chat, stream=True)
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return [answer.choices[0].message.content, "".join(parts)]

    with openai.OpenAI(**known) as client:
        (call,) = client.chat.completions.create(**forced).choices[0].message.tool_calls
        with client.chat.completions.stream(**forced) as stream:
            (again,) = stream.get_final_completion().choices[0].message.tool_calls
        parsed = client.chat.completions.parse(model=model, messages=SAID[1:], temperature=0, response_format=Plan)
        return {
            "openai": client.chat.completions.create(**chat).choices[0].message.content,
            "openai, asynchronous": asyncio.run(ask()),
            "openai, tools": [(c.function.name, json.loads(c.function.arguments)) for c in (call, again)],
            "openai, a form": parsed.choices[0].message.parsed.model_dump(),
            "openai, texts": client.completions.create(model=model, prompt=QUESTION, temperature=0, max_tokens=TOKENS)
            .choices[0]
            .text,
        }


if __name__ == "__main__":
    url, model, pairs = sys.argv[1:]
    print(json.dumps(langchain(url, model, pairs) | lite(url, model) | plain(url, model)))
