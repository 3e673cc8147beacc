"""OpenAI's API with a model that obeys the prompt: forms of answers, streams, tools, and refusals by name."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from hosting import eventually
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject

USER = {"role": "user", "content": "x"}
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}}]


def chat(client: httpx.Client, content: str = "x", **fields: Any) -> httpx.Response:
    return client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": content}], **fields})


def whole(response: httpx.Response) -> ChatCompletion:
    assert response.status_code == 200, response.text
    return ChatCompletion.model_validate(response.json(), strict=True)


def chunks(response: httpx.Response) -> list[ChatCompletionChunk]:
    """The chunks of a stream that ends as it must."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, end = response.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    found = [json.loads(event.removeprefix("data: ")) for event in events]
    return [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in found]


def test_an_answer_is_openai_s(shared_fake: httpx.Client) -> None:
    answer = whole(chat(shared_fake, model="demo"))
    assert answer.model == "demo"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "x1 x2 x3 x4 x5 ")
    assert choice.finish_reason == "length"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (1, 5, 6)


def test_a_stream_adds_up_and_tells_its_end_last(shared_fake: httpx.Client) -> None:
    found = chunks(chat(shared_fake, stream=True))
    assert found[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in found) == "x1 x2 x3 x4 x5 "
    assert [chunk.choices[0].finish_reason for chunk in found] == [None] * (len(found) - 1) + ["length"]
    assert len({chunk.id for chunk in found}) == 1
    assert len(found) > 5
    assert all(chunk.usage is None for chunk in found)


def test_the_usage_of_a_stream_comes_last_and_without_choices(shared_fake: httpx.Client) -> None:
    *others, last = chunks(chat(shared_fake, stream=True, stream_options={"include_usage": True}))
    assert last.choices == []
    assert last.usage
    assert last.usage.completion_tokens == 5
    assert all(chunk.usage is None and chunk.choices for chunk in others)


def test_text_that_changes_at_its_end_is_streamed_once_it_stays(shared_fake: httpx.Client) -> None:
    found = chunks(chat(shared_fake, "clean", stream=True))
    assert [chunk.choices[0].delta.content for chunk in found if chunk.choices[0].delta.content] == ["a", "，b", " c,"]
    assert whole(chat(shared_fake, "clean")).choices[0].message.content == "a，b c,"


def test_several_answers_have_their_numbers_and_seeds(shared_fake: httpx.Client) -> None:
    answer = whole(chat(shared_fake, "settings", n=3, seed=7))
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [f"('seed', {seed})" in str(c.message.content) for seed, c in zip((7, 8, 9), answer.choices, strict=True)]
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 3)
    texts = ["", "", ""]
    for chunk in chunks(chat(shared_fake, stream=True, n=3)):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == ["x1 x2 x3 x4 x5 "] * 3


def test_settings_reach_the_model(shared_fake: httpx.Client) -> None:
    fields = {"max_tokens": 9, "max_completion_tokens": 8, "temperature": 0, "top_p": 0.5, "top_k": 3, "stop": "z"}
    fields |= {"presence_penalty": 1, "frequency_penalty": -1, "logit_bias": {"7": -100}, "ignore_eos": True}
    told = str(whole(chat(shared_fake, "settings", user="me", seed=None, **fields)).choices[0].message.content)
    for setting in (
        "('max_new_tokens', 8)",
        "('temperature', 0.0)",
        "('top_p', 0.5)",
        "('top_k', 3)",
        "('stop', ['z'])",
        "('presence_penalty', 1.0)",
        "('frequency_penalty', -1.0)",
        "('logit_bias', {7: -100.0})",
        "('ignore_eos', True)",
        "('owner', 'user me')",
        "('seed', None)",
    ):
        assert setting in told
    told = str(whole(chat(shared_fake, "settings")).choices[0].message.content)
    assert "temperature" not in told  # the library's default
    assert "('max_new_tokens', None)" in told


def test_the_form_of_an_answer_becomes_a_grammar(shared_fake: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"名": {"type": "string"}}}
    told = [
        str(whole(chat(shared_fake, "settings", response_format=form)).choices[0].message.content)
        for form in (
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}},
            {"type": "text"},
        )
    ]
    assert "('grammar', 'json')" in told[0]
    assert f"('grammar', {json.dumps(schema, ensure_ascii=False)!r})" in told[1]
    assert "grammar" not in told[2]


def test_a_choice_of_tools_becomes_what_must_be_called(shared_fake: httpx.Client) -> None:
    other = {"type": "function", "function": {"name": "other", "strict": True}}
    named = {"type": "function", "function": {"name": "other"}}

    def told(choice: Any, *tools: Any) -> str:
        answer = chat(shared_fake, "settings", tools=tools, tool_choice=choice)
        return str(whole(answer).choices[0].message.content)

    search = "{'name': 'search', 'parameters': {'type': 'object'}}"
    assert f"('must_call', [{search}, {{'name': 'other', 'strict': True}}])" in told("required", SEARCH, other)
    assert "('must_call', [{'name': 'other', 'strict': True}])" in told(named, SEARCH, other)
    assert "must_call" not in told("auto", SEARCH) + told("none", SEARCH)


def test_messages_become_a_conversation(shared_fake: httpx.Client) -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "s"}, {"type": "text", "text": "t"}]},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "refusal": None, "tool_calls": CALLS},
        {"role": "tool", "content": "r", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "history"},
    ]
    told = whole(shared_fake.post("/v1/chat/completions", json={"messages": messages, "tools": [SEARCH]}))
    text = str(told.choices[0].message.content)
    for part in (
        "[Message(role='system', content='st', metadata='', tools=({'type': 'function', 'function': {'name': 'search'",
        "Message(role='user', content='q'",
        "Message(role='assistant', content='{\"query\": \"x\"}', metadata='search'",
        "Message(role='observation', content='r'",
        "Message(role='assistant', content='a', metadata=''",
    ):
        assert part in text


def test_rounds_that_were_left_out_are_told(shared_fake: httpx.Client) -> None:
    assert chat(shared_fake, "history").headers["fastglm-rounds-left-out"] == "3"
    assert chat(shared_fake, "history", stream=True).headers["fastglm-rounds-left-out"] == "3"
    assert shared_fake.post("/", json={"prompt": "history"}).headers["fastglm-rounds-left-out"] == "3"
    assert "fastglm-rounds-left-out" not in chat(shared_fake).headers


def test_a_call_of_a_tool_is_one_also_in_a_stream(shared_fake: httpx.Client) -> None:
    (choice,) = whole(chat(shared_fake, "call", tools=[SEARCH])).choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("search", '{"query": "x"}')
    _, last = chunks(chat(shared_fake, "call", tools=[SEARCH], stream=True))
    assert last.choices[0].finish_reason == "tool_calls"
    assert last.choices[0].delta.content is None
    assert last.choices[0].delta.tool_calls
    function = last.choices[0].delta.tool_calls[0].function
    assert function
    assert (function.name, function.arguments) == ("search", '{"query": "x"}')


def test_a_call_that_cannot_be_read_or_was_not_offered_is_text(shared_fake: httpx.Client) -> None:
    for content, tools in (("wrong call", [SEARCH]), ("call", None)):
        for none in (None, "none"):
            (choice,) = whole(chat(shared_fake, content, tools=tools, tool_choice=none)).choices
            assert choice.message.tool_calls is None
            assert str(choice.message.content).startswith("search\n")
            assert choice.finish_reason == "stop"
            streamed = chunks(chat(shared_fake, content, tools=tools, stream=True, tool_choice=none))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
            assert text == choice.message.content


def test_a_text_is_continued(shared_fake: httpx.Client) -> None:
    fields: dict[str, Any] = {"prompt": [[1, 2, 3], [4]], "n": 2}
    answer = shared_fake.post("/v1/completions", json=fields)
    completion = Completion.model_validate(answer.json(), strict=True)
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    assert completion.usage
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (4, 20)
    streamed = shared_fake.post("/v1/completions", json={"prompt": [7], "stream": True}).text.split("\n\n")
    assert streamed[-2:] == ["data: [DONE]", ""]
    parts = [json.loads(event.removeprefix("data: ")) for event in streamed[:-2]]
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["length"]
    for part in parts:
        part["choices"][0]["finish_reason"] = "length"  # the package knows no chunk without, which OpenAI sends
        Completion.model_validate(part, strict=True)
    assert "".join(part["choices"][0]["text"] for part in parts) == "[7]1 [7]2 [7]3 [7]4 [7]5 "


def test_the_model_is_listed(shared_fake: httpx.Client) -> None:
    (card,) = shared_fake.get("/v1/models").json()["data"]
    assert Model.model_validate(card, strict=True).id == "demo"
    assert shared_fake.get("/v1/models/demo").json() == card
    answer = shared_fake.get("/v1/models/gpt-4")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_fields_that_change_nothing_are_taken(shared_fake: httpx.Client) -> None:
    fields: dict[str, Any] = {"store": False, "metadata": {}, "service_tier": "auto", "reasoning_effort": "none"}
    fields |= {"verbosity": "medium", "modalities": ["text"], "parallel_tool_calls": False, "safety_identifier": "me"}
    fields |= {"functions": None, "stop": None, "a_field_of_tomorrow": None}
    assert whole(chat(shared_fake, **fields)).choices == whole(chat(shared_fake)).choices
    text = {"prompt": [7], "best_of": 2, "n": 2, "echo": False, "suffix": ""}
    assert len(shared_fake.post("/v1/completions", json=text).json()["choices"]) == 2


def test_the_usage_so_far_is_in_each_chunk_if_wanted(shared_fake: httpx.Client) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    *found, last = chunks(chat(shared_fake, stream=True, n=2, stream_options=options))
    told = [usage.completion_tokens for chunk in found if (usage := chunk.usage)]
    assert len(told) == len(found)
    assert told == sorted(told)
    assert last.usage == found[-1].usage
    assert last.usage
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (1, 10)


def test_an_error_in_a_stream_ends_it(fake: httpx.Client) -> None:
    *_, last, end = chat(fake, "crash", stream=True).text.split("\n\n")
    assert end == ""
    error = ErrorObject.model_validate(json.loads(last.removeprefix("data: "))["error"], strict=True)
    assert error.code == "model_ended"


def test_a_reader_that_leaves_a_stream_stops_its_answer(fake: httpx.Client) -> None:
    with fake.stream(
        "POST", "/v1/chat/completions", json={"messages": [{**USER, "content": "slow"}], "stream": True}
    ) as s:
        for line in s.iter_lines():
            if "slow3" in line:
                assert "fastglm_open_answers 1.0" in fake.get("/metrics").text
                break
    eventually(lambda: "fastglm_open_answers 0.0" in fake.get("/metrics").text)
    assert fake.post("/", json={"prompt": "large"}, timeout=20).status_code == 200  # the model gives it alone


@pytest.fixture
def client(shared_fake: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{str(shared_fake.base_url).rstrip('/')}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_the_client_of_openai_reads_everything(client: openai.OpenAI) -> None:
    question: Any = [{"role": "user", "content": "x"}]
    answer = client.chat.completions.create(model="demo", messages=question, n=2)
    assert [choice.message.content for choice in answer.choices] == ["x1 x2 x3 x4 x5 "] * 2
    streamed = client.chat.completions.create(model="demo", messages=question, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "x1 x2 x3 x4 x5 "
    tools: Any = [SEARCH]
    with client.chat.completions.stream(
        model="demo", messages=[{"role": "user", "content": "call"}], tools=tools
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls
    assert final.choices[0].message.tool_calls[0].function.name == "search"
    assert client.completions.create(model="demo", prompt=[7]).choices[0].text.startswith("[7]1 ")
    assert [model.id for model in client.models.list()] == ["demo"]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=question)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="demo", messages=question, temperature=9)
    assert refused.value.param == "temperature"


def test_the_asynchronous_client_of_openai_gets_answers_side_by_side(shared_fake: httpx.Client) -> None:
    async def ask() -> list[str | None]:
        url = f"{str(shared_fake.base_url).rstrip('/')}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            asked = [
                client.chat.completions.create(model="demo", messages=[{"role": "user", "content": text}])
                for text in "abcdefgh"
            ]
            return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == ["".join(f"{text}{number} " for number in range(1, 6)) for text in "abcdefgh"]
