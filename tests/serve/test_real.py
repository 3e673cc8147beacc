"""Answers of a real model over HTTP are those of `fastglm.stream`."""

from typing import Any

import httpx
import openai
import pytest
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
