"""Answers of a real model over HTTP are those of `fastglm.stream`."""

import json
import shutil
import subprocess
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from recorded import folder
from serving import served

import fastglm
from fastglm.hosting.protocol import HostKey
from fastglm.messages import Message

QUESTION = "你好"


@pytest.fixture(scope="module")
def loaded(home_of_module: None) -> tuple[Any, Any]:
    return fastglm.load(folder("chatglm3"), "fast", "cpu")


def text_of(loaded: tuple[Any, Any], prompt: Any, history: Any = None, **settings: Any) -> str:
    """The greedy answer of `fastglm.stream`."""
    return [*fastglm.stream(*loaded, prompt, history, do_sample=False, **settings)][-1].text


def test_the_published_answer_is_that_of_the_library(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    history: list[dict[str, str]] = []
    for prompt in (QUESTION, "再说一次", "ok"):
        content = chatglm3.post("/", json={"prompt": prompt, "history": history, "max_length": 80, "temperature": 0})
        assert content.status_code == 200, content.text
        assert content.json()["response"] == text_of(loaded, prompt, history, max_length=80)
        history = content.json()["history"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_as_in_the_published_readme_is_answered(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    url = str(chatglm3.base_url).rstrip("/")
    start = ["curl", "-sS", "-X", "POST", url, "-H", "Content-Type: application/json", "-d"]

    def ask(body: str) -> dict[str, Any]:
        return json.loads(subprocess.run([*start, body], check=True, capture_output=True, text=True).stdout)

    found = ask('{"prompt": "你好", "history": []}')
    assert [*found] == ["response", "history", "status", "time"]
    assert found["status"] == 200
    greedy = ask('{"prompt": "你好", "history": [], "max_length": 80, "temperature": 0}')
    assert greedy["response"] == text_of(loaded, QUESTION, max_length=80)


def test_pairs_are_the_history_of_chatglm_6b(home_of_module: None) -> None:
    model, tokenizer = fastglm.load(folder("chatglm"), "fast", "cpu")
    history: list[tuple[str, str]] = []
    with served(HostKey(str(folder("chatglm")), "fast", "cpu")) as client:
        for prompt in (QUESTION, "2"):
            fields = {"prompt": prompt, "history": history, "max_length": 20_000, "temperature": 0}
            content = client.post("/", json=fields).json()  # beyond the context
            response, after = model.chat(tokenizer, prompt, history, max_length=20_000, temperature=0)
            assert content["response"] == response
            assert content["history"] == [list(pair) for pair in after]
            history = after


def test_openai_s_answers_are_those_of_the_library(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    url = f"{str(chatglm3.base_url).rstrip('/')}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "system", "content": "短。"}, {"role": "user", "content": QUESTION}]
        expected = text_of(loaded, QUESTION, messages[:1], max_new_tokens=40)
        fields: Any = {"model": "chatglm3", "messages": messages, "temperature": 0, "max_tokens": 40}
        assert client.chat.completions.create(**fields).choices[0].message.content == expected
        streamed = [*client.chat.completions.create(**fields, stream=True)]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == expected
        assert len(streamed) > 5
        half = expected[len(expected) // 2 :][:2]
        stopped = client.chat.completions.create(**fields, stop=[half]).choices[0]
        assert stopped.message.content == text_of(loaded, QUESTION, messages[:1], max_new_tokens=40, stop=[half])
        first = loaded[1].encode_text(expected)[0]
        changed: Any = {"presence_penalty": 2, "frequency_penalty": 1.5, "logit_bias": {first: -100}}
        other = text_of(loaded, QUESTION, messages[:1], max_new_tokens=40, **changed)
        changed["logit_bias"] = {str(first): -100}
        assert client.chat.completions.create(**fields, **changed).choices[0].message.content == other
        assert other != expected
        seeds = [client.chat.completions.create(**(fields | {"temperature": 1}), seed=5).choices for _ in "ab"]
        assert seeds[0][0].message == seeds[1][0].message
        drawn = fastglm.stream(*loaded, QUESTION, messages[:1], max_new_tokens=40, temperature=1.0, seed=5)
        assert seeds[0][0].message.content == [*drawn][-1].text


def test_a_text_and_ids_are_continued_alike(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    tokenizer = loaded[1]
    ids = tokenizer.build_inputs_with_special_tokens(tokenizer.encode_text(QUESTION))
    expected = text_of(loaded, ids, max_new_tokens=16)
    for prompt in (QUESTION, ids):
        answer = chatglm3.post("/v1/completions", json={"prompt": prompt, "temperature": 0})
        assert answer.json()["choices"][0]["text"] == expected
        assert answer.json()["usage"]["prompt_tokens"] == len(ids)


def test_the_result_of_a_tool_is_answered(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    function = {"name": "add", "description": "加", "parameters": {"type": "object"}}
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": "二"}'}}
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "call_1"},
    ]
    system = "Answer the following questions as best as you can. You have access to the following tools:"
    history = [
        Message("system", system, tools=(function,)),
        Message("user", QUESTION),
        Message("assistant", "```python\ntool_call(a=1, b='二')\n```", "add"),
    ]
    expected = text_of(loaded, Message("observation", "3"), history, max_new_tokens=20)
    fields = {"tools": [{"type": "function", "function": function}], "temperature": 0, "max_tokens": 20}
    answer = chatglm3.post("/v1/chat/completions", json={"messages": messages, **fields})
    assert answer.json()["choices"][0]["message"]["content"] == expected


def test_too_long_a_message_is_refused(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION * loaded[0].context_length}]}
    for stream in (False, True):
        answer = chatglm3.post("/v1/chat/completions", json={**body, "stream": stream})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_log_probabilities_are_those_of_the_library(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    pieces = [*fastglm.stream(*loaded, QUESTION, do_sample=False, max_new_tokens=9, logprobs=2)]
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 9}
    fields |= {"logprobs": True, "top_logprobs": 2}
    answer = ChatCompletion.model_validate(chatglm3.post("/v1/chat/completions", json=fields).json(), strict=True)
    assert answer.choices[0].logprobs
    told = answer.choices[0].logprobs.content or []
    assert [token.logprob for token in told] == pytest.approx([piece.logprob for piece in pieces], abs=1e-4)
    assert [len(token.top_logprobs) for token in told] == [2] * len(told)
    assert told[0].top_logprobs[0].token == told[0].token
    whole = b"".join(bytes(token.bytes or []) for token in told).decode(errors="replace").strip()
    assert whole == pieces[-1].text
    events = chatglm3.post("/v1/chat/completions", json={**fields, "stream": True}).text.split("\n\n")[:-2]
    parts = [json.loads(event.removeprefix("data: ")) for event in events]
    chunks = [ChatCompletionChunk.model_validate(part, strict=True) for part in parts]
    streamed = [token for chunk in chunks if (found := chunk.choices[0].logprobs) for token in found.content or []]
    assert streamed == told
    text = {"prompt": QUESTION, "temperature": 0, "max_tokens": 9, "logprobs": 1}
    found = (
        Completion.model_validate(chatglm3.post("/v1/completions", json=text).json(), strict=True).choices[0].logprobs
    )
    assert found
    assert found.tokens
    assert len(found.tokens) == len(found.token_logprobs or []) == len(found.text_offset or []) == 9
    assert (found.text_offset or [])[2] == len(found.tokens[0] + found.tokens[1])
    more = {"stream": True, "n": 2, "stream_options": {"include_usage": True}}
    *events, last, _, _ = chatglm3.post("/v1/completions", json=text | more).text.split("\n\n")
    assert Completion.model_validate(json.loads(last.removeprefix("data: ")), strict=True).usage
    parts = [json.loads(event.removeprefix("data: ")) for event in events]
    for part in parts:
        for choice in part["choices"]:
            choice["finish_reason"] = "length"  # the package knows no chunk without, which OpenAI sends
    choices = [choice for part in parts for choice in Completion.model_validate(part, strict=True).choices]
    for index in (0, 1):
        told = [choice.logprobs for choice in choices if choice.index == index and choice.logprobs]
        assert [token for one in told for token in one.tokens or []] == found.tokens
        assert [offset for one in told for offset in one.text_offset or []] == found.text_offset


def test_an_answer_is_held_to_a_form(chatglm3: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    fields = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64, "response_format": form}
    (choice,) = chatglm3.post("/v1/chat/completions", json=fields).json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert json.loads(choice["message"]["content"]) in ({"a": 1}, {"a": 2})
    form["json_schema"] = {"name": "a", "schema": {"type": "nothing"}}
    answer = chatglm3.post("/v1/chat/completions", json=fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_format")
