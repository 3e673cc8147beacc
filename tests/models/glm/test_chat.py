"""`chat`, `stream_chat` and `process_response` as each generation published them."""

import copy
import json

import pytest
import torch
from recorded import expected, folder
from transformers import AutoModel, AutoTokenizer, LogitsProcessor, LogitsProcessorList

import fastglm
from fastglm.errors import ToolCallError, UsageError
from fastglm.messages import Message
from fastglm.models.glm.tools import process_response

NAMES = ("chatglm2", "codegeex2", "chatglm3", "glm4")
RECORDED = [
    ("chatglm3" if name == "chatglm3-tools" else name, case)
    for name in ("chatglm3-tools", "glm4")
    for case in expected(name)["process_response"]
]
NO_LITERAL = "days=1 + 1"  # the published code computes it


class Script(LogitsProcessor):
    """Lets a model say the same tokens in each answer."""

    def __init__(self, ids):
        self.ids, self.start = ids, None

    def __call__(self, input_ids, scores):
        self.start = input_ids.shape[1] if self.start is None else self.start
        wanted = self.ids[input_ids.shape[1] - self.start]
        return torch.full_like(scores, -1e4).index_fill(1, torch.tensor([wanted]), 0.0)


def script(ids):
    return LogitsProcessorList([Script(ids)])


@pytest.fixture(scope="module")
def loaded():
    return {name: fastglm.load(str(folder(name)), device="cpu") for name in NAMES}


@pytest.fixture(scope="module")
def published():
    return {
        name: (AutoModel.from_pretrained(folder(name)).float().eval(), AutoTokenizer.from_pretrained(folder(name)))
        for name in NAMES
    }


# Answers in messages.


@pytest.mark.parametrize(("generation", "case"), RECORDED, ids=range(len(RECORDED)))
def test_recorded_answers(generation, case):
    history = copy.deepcopy(case["history"])
    if "content" not in case or NO_LITERAL in case["raw"]:
        with pytest.raises(ToolCallError) as error:
            process_response(generation, case["raw"], history)
        assert "\n" not in str(error.value)
        assert "raises" in case or "not_run" in case or NO_LITERAL in case["raw"]
    else:
        assert process_response(generation, case["raw"], history) == (case["content"], case["history_out"])
    assert history == case["history"]


@pytest.mark.parametrize(
    "code",
    [
        "tool_call(**{'a': 1})",
        "tool_call(a=1)(b=2)",
        "other(a=1)",
        "tool_call.x(a=1)",
        "tool_call(a=__import__('os'))",
        "tool_call(a=[x for x in ()])",
        "tool_call(a=1); tool_call(a=2)",
        "tool_call(a=f'{1}')",
        "tool_call(a=" + "(" * 5000 + ")" * 5000 + ")",
        "tool_call(a=" + "-" * 100_000 + "1)",
        "tool_call(a=" + "9" * 10_000 + ")",
    ],
)
def test_code_in_a_call_is_refused_in_a_line(code):
    history = [{"role": "system", "content": "", "tools": []}]
    with pytest.raises(ToolCallError) as error:
        process_response("chatglm3", f"f\n```python\n{code}\n```", history)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("text", ["[" * 100_000, "{'a': 1}", "", "9" * 10_000])
def test_calls_of_glm4_are_json(text):
    with pytest.raises(ToolCallError, match="JSON"):
        process_response("glm4", f"f\n{text}", [{"role": "system", "content": "", "tools": []}])


def test_models_process_responses_as_published(loaded):
    assert loaded["chatglm2"][0].process_response(" 到[[训练时间]] ") == "到2023年"
    assert loaded["codegeex2"][0].process_response("  x") == "  x"
    said = {"role": "assistant", "metadata": "", "content": "好"}
    for name in ("chatglm3", "glm4"):
        assert loaded[name][0].process_response("\n 好", [{"role": "user", "content": "x"}]) == (
            "好",
            [{"role": "user", "content": "x"}, said],
        )


# Conversations.


@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_as_published(published, loaded, name):
    settings = {"do_sample": False, "max_new_tokens": 6}
    for model, tokenizer in (published[name], loaded[name]):
        response, history = model.chat(tokenizer, "你好", history=[], **settings)
        ids = tokenizer.conversation.ids(tokenizer, [Message("user", "你好")])
        new = model.generate(torch.tensor([ids]), eos_token_id=None, **settings)[0, len(ids) :].tolist()
        assert response == model.clean_response(tokenizer.decode(new, spaces_between_special_tokens=False))
        if name in ("chatglm2", "codegeex2"):
            assert history == [("你好", response)]
        else:
            said = {"role": "assistant", "metadata": "", "content": response}
            assert history == [{"role": "user", "content": "你好"}, said]
        second, longer = model.chat(tokenizer, "再见", history=history, **settings)
        assert longer[: len(history)] == history
        assert len(longer) == 2 * len(history)
        streamed = [*model.stream_chat(tokenizer, "再见", history, **settings)]
        assert len(streamed) == 6
        assert streamed[-1] == (second, longer)
        third = [*model.stream_chat(tokenizer, "再见", history, return_past_key_values=True, **settings)]
        assert third[-1] == (second, longer, None)


@pytest.mark.parametrize("name", NAMES)
def test_sampled_answers(published, name):
    model, tokenizer = published[name]
    torch.manual_seed(3)
    sampled = {model.chat(tokenizer, "你好", max_new_tokens=8)[0] for _ in range(3)}
    assert len(sampled) > 1
    assert model.chat(tokenizer, "你好", max_new_tokens=4, temperature=0) == model.chat(
        tokenizer, "你好", max_new_tokens=4, do_sample=False
    )
    assert len([*model.stream_chat(tokenizer, "你好", max_new_tokens=4)]) == 4


@pytest.mark.parametrize(
    ("name", "end"),
    [(name, end) for name, ends in zip(NAMES, ([2], [2], [2, 706, 708], [656, 663, 665]), strict=True) for end in ends],
)
def test_answers_end_at_every_end_of_the_generation(published, loaded, name, end):
    for model, tokenizer in (published[name], loaded[name]):
        ids = [*tokenizer.encode_text("好。"), end, 300]
        response, _ = model.chat(tokenizer, "你好", logits_processor=script(ids), max_new_tokens=len(ids))
        assert response == "好。"
        streamed = [*model.stream_chat(tokenizer, "你好", logits_processor=script(ids), max_new_tokens=len(ids))]
        assert [streamed[-1][0], len(streamed)] == ["好。", len(ids) - 1]
    assert end in loaded[name][0].stop_tokens


# Tools.


def call_of(name, tokenizer):
    """A call as the recorded generation writes it, its ids, and its parameters."""
    content = "```python\ntool_call(a=1, b='二')\n```" if name == "chatglm3" else '{"a": 1, "b": "二"}'
    ids = [*tokenizer.encode_text("add\n"), *tokenizer.encode_text(content), tokenizer.get_command("<|observation|>")]
    return content, ids, {"a": 1, "b": "二"}


@pytest.mark.parametrize("name", ["chatglm3", "glm4"])
def test_a_tool_is_called_and_observed(published, name):
    model, tokenizer = published[name]
    content, ids, parameters = call_of(name, tokenizer)
    if name == "chatglm3":
        content = content.replace("```python", " ```python", 1)  # sentencepiece puts a space before each text
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    system = {"role": "system", "content": "", "tools": tools}
    settings = {"max_new_tokens": len(ids), "max_length": 4000}
    model.config.seq_length, before = 4000, model.config.seq_length
    try:
        response, history = model.chat(tokenizer, "一加二", [system], logits_processor=script(ids), **settings)
        streamed = [*model.stream_chat(tokenizer, "一加二", [system], logits_processor=script(ids), **settings)]
        assert response == streamed[-1][0] == {"name": "add", "parameters": parameters}
        said = {"role": "assistant", "metadata": "add", "content": content}
        assert history == streamed[-1][1] == [system, {"role": "user", "content": "一加二"}, said]
        unread = [said for said, _ in streamed if isinstance(said, dict) and "content" in said]
        assert unread
        assert all(content.startswith(said["content"]) for said in unread)
        seen, longer = model.chat(tokenizer, "3", history, role="observation", do_sample=False, max_new_tokens=2)
        assert longer[3] == {"role": "observation", "content": "3"}
        assert isinstance(seen, str | dict)
        wanted = tokenizer.build_chat_input("3", history, role="observation")["input_ids"][0].tolist()
        assert model.prompt_ids(tokenizer, Message("observation", "3"), history)[0] == wanted
        bad = [*ids[:-12], ids[-1]]
        with pytest.raises(ToolCallError, match="calls a tool, but not as"):
            model.chat(tokenizer, "一加二", [system], logits_processor=script(bad), **settings)
        with pytest.raises(ToolCallError, match="calls a tool, but not as"):
            [*model.stream_chat(tokenizer, "一加二", [system], logits_processor=script(bad), **settings)]
        plain, _ = model.chat(tokenizer, "一加二", [], logits_processor=script(ids), **settings)
        assert plain == {"name": "add", "content": content}
    finally:
        model.config.seq_length = before


@pytest.mark.parametrize("name", ["chatglm3", "glm4"])
def test_an_answer_of_two_messages(published, name):
    model, tokenizer = published[name]
    _, ids, _ = call_of(name, tokenizer)
    ids = [*tokenizer.encode_text("\n"), *tokenizer.encode_text("等。"), tokenizer.get_command("<|assistant|>"), *ids]
    _, history = model.chat(tokenizer, "x", logits_processor=script(ids), max_new_tokens=len(ids))
    assert (history[1]["metadata"], history[1]["content"]) == ("", "等。")
    assert history[2]["metadata"] == "add"


# Wrong use.


def test_histories_of_callers_stay_as_they_are(published):
    model, tokenizer = published["chatglm3"]
    history = [{"role": "system", "content": "短。", "more": 1}, {"role": "user", "content": "a"}]
    history.append({"role": "assistant", "metadata": "", "content": "b"})
    before = json.dumps(history)
    _, longer = model.chat(tokenizer, "你好", history, max_new_tokens=2)
    assert json.dumps(history) == before
    assert longer[:3] == history
    pairs, _ = model.chat(tokenizer, "你好", [("a", "b")], do_sample=False, max_new_tokens=2), None
    assert pairs[1][:2] == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    mixed = iter([Message("user", "a"), {"role": "assistant", "content": "b"}])
    assert model.chat(tokenizer, "你好", mixed, do_sample=False, max_new_tokens=2) == pairs


def test_wrong_calls_are_refused_in_a_line(published):
    chatglm2, chatglm3 = published["chatglm2"], published["chatglm3"]
    for (model, tokenizer), query, settings, said in (
        (chatglm2, "x", {"role": "observation"}, "this model knows user, assistant"),
        (chatglm2, "x", {"history": [{"role": "system", "content": "y"}]}, "no system role"),
        (chatglm3, "x", {"role": "tool"}, "role of the query is 'tool'"),
        (chatglm3, None, {}, "query must be a text"),
        (chatglm3, "x", {"history": ["ab"]}, "not a pair"),
        (chatglm3, "x", {"history": "ab"}, "history is of str"),
    ):
        for call in (model.chat, lambda *a, **k: next(model.stream_chat(*a, **k))):  # noqa: B023
            with pytest.raises(UsageError, match=said):
                call(tokenizer, query, **settings)
    with pytest.raises(UsageError, match="leave past_key_values out"):
        next(chatglm3[0].stream_chat(chatglm3[1], "x", past_key_values=object()))
    with pytest.raises(UsageError, match="for their tool calls"):
        next(chatglm3[0].stream_chat(chatglm3[1], "x", stop=["."]))
