"""ChatGLM3 and GLM-4 over HTTP: conversations, tools and forms of answers, whole and streamed."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from recorded import folder
from serving import served

import fastglm
from fastglm.hosting.protocol import HostKey
from fastglm.messages import Message

QUESTION = "你好"
PLAN: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["北京", "it's"]}, "days": {"enum": [1, 2]}, "exact": {"type": "boolean"}},
    "required": ["city", "days", "exact"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "description": "天气", "parameters": PLAN}
TIME = {"name": "get_time", "description": "时间", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": function} for function in (WEATHER, TIME)]


class Model(NamedTuple):
    name: str
    client: httpx.Client
    loaded: tuple[Any, Any]

    def stream(self, prompt: Any, history: Any = None, **settings: Any) -> Any:
        """The last piece of `fastglm.stream`, greedy."""
        return [*fastglm.stream(*self.loaded, prompt, history, do_sample=False, **settings)][-1]

    def chat(self, *messages: Any, **fields: Any) -> Any:
        """The only choice of an answer, greedy; its stream gives the same one."""
        body = {"messages": messages or [{"role": "user", "content": QUESTION}], "temperature": 0, **fields}
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        (choice,) = ChatCompletion.model_validate(answer.json(), strict=True).choices
        *events, done, _ = self.client.post("/v1/chat/completions", json={**body, "stream": True}).text.split("\n\n")
        assert done == "data: [DONE]"
        found = [json.loads(event.removeprefix("data: ")) for event in events]
        streamed = [ChatCompletionChunk.model_validate(chunk, strict=True).choices[0] for chunk in found]
        assert "".join(chunk.delta.content or "" for chunk in streamed) == (choice.message.content or "")
        assert streamed[-1].finish_reason == choice.finish_reason
        calls = [call.function for chunk in streamed for call in chunk.delta.tool_calls or []]
        wanted = [call.function for call in choice.message.tool_calls or [] if call.type == "function"]
        assert [(c.name, c.arguments) for c in calls if c] == [(c.name, c.arguments) for c in wanted]
        return choice


@pytest.fixture(scope="module", params=["chatglm3-32k", "glm4"])
def model(request: pytest.FixtureRequest, home_of_module: None) -> Iterator[Model]:
    loaded = fastglm.load(folder(request.param), "fast", "cpu")
    with served(HostKey(str(folder(request.param)), "fast", "cpu")) as client:
        yield Model(request.param, client, loaded)


def system(model: Model, content: str = "") -> Message:
    """The message that offers both tools."""
    known = "Answer the following questions as best as you can. You have access to the following tools:"
    opening = content or (known if model.name == "chatglm3-32k" else "")
    return Message("system", opening, tools=tuple(TOOLS if model.name == "glm4" else (WEATHER, TIME)))


def test_a_conversation_is_answered(model: Model) -> None:
    said = [{"role": "system", "content": "短。"}, {"role": "user", "content": QUESTION}]
    choice = model.chat(*said, max_tokens=24)
    assert choice.message.content == model.stream(QUESTION, said[:1], max_new_tokens=24).text
    more = [*said, {"role": "assistant", "content": choice.message.content}, {"role": "user", "content": "再说"}]
    assert model.chat(*more, max_tokens=24).message.content == model.stream("再说", more[:-1], max_new_tokens=24).text


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=str)
def test_a_call_that_must_come_comes(model: Model, choice: Any) -> None:
    functions = [WEATHER, TIME] if choice == "required" else [WEATHER]
    wanted = model.stream(QUESTION, [system(model)], must_call=functions, max_new_tokens=200).call
    found = model.chat(tools=TOOLS, tool_choice=choice, max_tokens=200)
    assert (found.finish_reason, found.message.content) == ("tool_calls", None)
    (call,) = found.message.tool_calls
    assert (call.function.name, call.function.arguments) == (wanted.name, wanted.arguments)
    arguments = json.loads(call.function.arguments)
    if call.function.name == "get_weather":
        assert (arguments.pop("city") in ("北京", "it's"), arguments.pop("days") in (1, 2)) == (True, True)
        assert [*map(type, arguments.values())] == [bool]


def test_a_free_answer_and_one_without_tools_are_the_library_s(model: Model) -> None:
    free = model.chat(tools=TOOLS, parallel_tool_calls=False, max_tokens=24)
    assert free.message.content == model.stream(QUESTION, [system(model)], max_new_tokens=24).text
    none = model.chat(tools=TOOLS, tool_choice="none", max_tokens=24)
    assert none.message.content == model.stream(QUESTION, max_new_tokens=24).text


def test_a_call_without_room_is_text_that_ends_by_length(model: Model) -> None:
    choice = model.chat(tools=TOOLS, tool_choice="required", max_tokens=3)
    assert (choice.finish_reason, choice.message.tool_calls) == ("length", None)


def test_the_result_of_a_call_is_answered_by_the_client_of_openai(model: Model) -> None:
    url = f"{str(model.client.base_url).rstrip('/')}/v1"
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    fields: Any = {"model": model.name, "tools": TOOLS, "temperature": 0}
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        with client.chat.completions.stream(**fields, messages=messages, tool_choice="required") as stream:
            said = stream.get_final_completion().choices[0].message
        assert said.tool_calls
        messages += [said, {"role": "tool", "content": "3", "tool_call_id": said.tool_calls[0].id}]
        answer = client.chat.completions.create(**fields, messages=messages, max_tokens=16)
    call = said.tool_calls[0].function
    written = call.arguments
    if model.name == "chatglm3-32k":
        given = ", ".join(f"{name}={value!r}" for name, value in json.loads(call.arguments).items())
        written = f"```python\ntool_call({given})\n```"
    history = [system(model), Message("user", QUESTION), Message("assistant", written, call.name)]
    wanted = model.stream(Message("observation", "3"), history, max_new_tokens=16)
    assert answer.choices[0].message.content == wanted.text


def test_an_answer_in_a_form_is_streamed_too(model: Model) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "plan", "schema": PLAN, "strict": True}}
    choice = model.chat(response_format=form, max_tokens=200)
    assert choice.finish_reason == "stop"
    assert set(json.loads(choice.message.content)) == {"city", "days", "exact"}


def test_a_form_that_cannot_be_held_is_named(model: Model) -> None:
    tools = [{"type": "function", "function": {"name": "a", "parameters": {"properties": {"a b": {"not": {}}}}}}]
    body = {"messages": [{"role": "user", "content": QUESTION}], "tools": tools, "tool_choice": "required"}
    for stream in (False, True):
        answer = model.client.post("/v1/chat/completions", json={**body, "stream": stream})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools"), answer.text
    tools[0]["function"] = {**WEATHER, "strict": True}  # type: ignore[dict-item]
    answer = model.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == (200 if model.name == "glm4" else 400)
