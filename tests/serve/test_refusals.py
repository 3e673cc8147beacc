"""Refusals of OpenAI's API, each by the name of its field."""

from typing import Any

import httpx
import pytest
from openai.types.shared import ErrorObject
from serving import served

from fastglm.hosting.protocol import HostKey

USER = {"role": "user", "content": "x"}
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}}]


def error_of(response: httpx.Response) -> ErrorObject:
    return ErrorObject.model_validate(response.json()["error"], strict=True)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "x"}, "messages"),
    ({"messages": [None]}, "messages.0"),
    ({"messages": [{"content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "nobody", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
    ({"messages": [{**USER, "mood": "good"}]}, "messages.0.mood"),
    ({"messages": [{**USER, "tool_calls": CALLS}]}, "messages.0.tool_calls"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": CALLS * 2}]}, "messages.1.tool_calls"),
    ({"messages": [USER, {"role": "assistant", "content": "y"}]}, "messages"),
    ({"messages": [{"role": "user", "content": "context"}]}, "messages"),
    ({"model": 1}, "model"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1e9}, "max_tokens"),
    ({"max_completion_tokens": -1}, "max_completion_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": "0"}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_k": -1}, "top_k"),
    ({"n": 0}, "n"),
    ({"n": 17}, "n"),
    ({"seed": 1.5}, "seed"),
    ({"stop": ""}, "stop.0"),
    ({"stop": [1]}, "stop.0"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"more": 1}}, "stream_options.more"),
    ({"logit_bias": {"x": 1}}, "logit_bias.x.[key]"),
    ({"logit_bias": {"1": 101}}, "logit_bias.1"),
    ({"logit_bias": {"100": 1}}, "logit_bias"),
    ({"presence_penalty": 2.1}, "presence_penalty"),
    ({"frequency_penalty": -2.1}, "frequency_penalty"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": 2}, "logprobs"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_object"}, "tools": [SEARCH]}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"tools": [{"type": "function"}]}, "tools.0.function"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
    ({"tools": [{"type": "function", "function": {"name": "天气"}}]}, "tools.0.function.name"),
    ({"tools": [{"type": "function", "function": {"name": "a", "strict": True}}]}, "tools.0.function.strict"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [SEARCH], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [SEARCH], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
    (
        {"tools": [SEARCH], "tool_choice": {"type": "function", "function": {"name": "search", "more": 1}}},
        "tool_choice",
    ),
    ({"tools": [SEARCH], "tool_choice": {"type": "custom", "custom": {"name": "search"}}}, "tool_choice"),
    ({"tools": [SEARCH], "tool_choice": "required", "ignore_eos": True}, "ignore_eos"),
    ({"response_format": {"type": "json_object"}, "ignore_eos": True}, "ignore_eos"),
    ({"functions": []}, "functions"),
    ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ({"ignore_eos": 1}, "ignore_eos"),
    ({"store": True}, "store"),
    ({"metadata": {"a": "b"}}, "metadata"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"reasoning_effort": "low"}, "reasoning_effort"),
    ({"verbosity": "high"}, "verbosity"),
    ({"modalities": ["text", "audio"]}, "modalities.1"),
    ({"audio": {}}, "audio"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_done_is_refused_by_name(
    shared_fake: httpx.Client, fields: dict[str, Any], param: str, stream: bool
) -> None:
    body = {"messages": [USER], **({"stream": True} if stream else {}), **fields}
    if stream and param == "stream_options":
        body["stream_options"] = 5
    answer = shared_fake.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    assert error_of(answer).param == param


@pytest.mark.parametrize("fields", [{"best_of": 2}, {"best_of": 1, "n": 2}, {"echo": True}, {"suffix": "x"}])
def test_a_completion_of_another_kind_is_refused_by_name(shared_fake: httpx.Client, fields: dict[str, Any]) -> None:
    answer = shared_fake.post("/v1/completions", json={"prompt": [7], **fields})
    assert (answer.status_code, error_of(answer).param) == (400, next(iter(fields)))


@pytest.mark.parametrize("prompt", [None, 1, [], [[]], [1, "x"], ["x", 1], [[1], "x", None], {"a": 1}, [True]])
def test_a_prompt_of_another_kind_is_refused(shared_fake: httpx.Client, prompt: Any) -> None:
    answer = shared_fake.post("/v1/completions", json={"prompt": prompt})
    assert (answer.status_code, error_of(answer).param) == (400, "prompt")


def test_a_model_of_rounds_knows_no_other_roles(fake_model: None) -> None:
    with served(HostKey("pairs")) as client:
        for message in ({"role": "system", "content": "s"}, {"role": "tool", "content": "r"}):
            answer = client.post("/v1/chat/completions", json={"messages": [message, USER]})
            assert (answer.status_code, error_of(answer).param) == (400, "messages.0.role")
        answer = client.post("/v1/chat/completions", json={"messages": [USER], "tools": [SEARCH]})
        assert (answer.status_code, error_of(answer).param) == (400, "tools")
