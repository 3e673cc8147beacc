"""Answers that must call a tool: calls that can be read, of the functions and parameters that were given."""

import json

import pytest
from recorded import folder

import fastglm
from fastglm.errors import UsageError

DRAWN = {"max_new_tokens": 400, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"enum": ["北京", 'it\'s "here"', "a\\b\n"]},
            "days": {"type": "integer"},
            "exact": {"type": ["boolean", "null"]},
            "where": {
                "type": "object",
                "properties": {"x": {"enum": [1, 2.5]}, "名 'x'": {"anyOf": [{"const": "a"}, {"type": "null"}]}},
                "required": ["x"],
            },
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        },
        "required": ["days", "where"],
    },
}
NOTHING = {"name": "get_time"}


def check(arguments):
    assert set(arguments) <= set(WEATHER["parameters"]["properties"])
    assert arguments.get("city", "北京") in WEATHER["parameters"]["properties"]["city"]["enum"]
    assert type(arguments["days"]) is int
    assert arguments.get("exact") in (True, False, None)
    assert arguments["where"]["x"] in (1, 2.5)
    assert arguments["where"].get("名 'x'") in ("a", None)
    assert set(arguments.get("tags", "")) <= {"a", "b"}


def favoured(tokenizer, model):
    """Ends of numbers, lists and words made likelier, so that the answers of a random model end."""
    known = tokenizer.token_bytes(range(model.config.vocab_size))
    return {id: 6.0 for id, token in enumerate(known) if token in (b",", b"}", b"]", b")", b"'", b'"')}


@pytest.mark.parametrize("name", ["chatglm3", "glm4"])
def test_every_answer_is_a_call_that_can_be_read(name):
    model, tokenizer = fastglm.load(str(folder(name)), "fast")
    bias = favoured(tokenizer, model)
    for seed, functions in enumerate([[WEATHER]] * 4 + [[NOTHING], [WEATHER, NOTHING]]):
        settings = {"must_call": functions, "seed": seed, "logit_bias": bias, **DRAWN}
        *_, last = fastglm.stream(model, tokenizer, "你好", **settings)
        assert last.stop == "eos", last.text
        assert last.call
        assert last.call.fault is None
        assert last.call.name in [function["name"] for function in functions]
        arguments = json.loads(last.call.arguments)
        if last.call.name == "get_weather":
            check(arguments)
        else:
            assert arguments == {}


@pytest.mark.parametrize("name", ["chatglm3", "glm4"])
def test_parameters_in_any_form_are_read(name):
    model, tokenizer = fastglm.load(str(folder(name)), "fast")
    bias = favoured(tokenizer, model)
    properties = {"free": {}, "object": {"type": "object"}, "strange": {"type": 1, "enum": []}, "text": True}
    form = {"properties": properties, "required": ["object", "text"]}
    if name == "glm4":
        form["properties"] = properties | {"strange": {"type": "string", "maxLength": 3}}
    for seed in range(4):
        settings = {"must_call": [{"name": "a", "parameters": form}], "seed": seed, "logit_bias": bias, **DRAWN}
        *_, last = fastglm.stream(model, tokenizer, "你好", **settings)
        assert last.stop == "length" or {"object", "text"} <= set(json.loads(last.call.arguments))


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("chatglm", {"must_call": [NOTHING]}, "ChatGLM3 or GLM-4"),
        ("glm4", {"must_call": []}, "at least one"),
        ("glm4", {"must_call": [NOTHING], "grammar": "json"}, "leave one"),
        ("glm4", {"must_call": [NOTHING], "ignore_eos": True}, "leave ignore_eos out"),
        ("glm4", {"must_call": [NOTHING | {"parameters": {"not": {}}}]}, "cannot be followed"),
        ("glm4", {"must_call": [NOTHING | {"parameters": {"enum": [float("nan")]}}]}, "no JSON"),
        ("glm4", {"must_call": [NOTHING | {"parameters": [1]}]}, "no JSON schema"),
        ("chatglm3", {"must_call": [NOTHING | {"parameters": {"properties": {"a b": {}}}}]}, "'a b', which"),
        ("chatglm3", {"must_call": [NOTHING | {"parameters": {"properties": {"if": {}}}}]}, "'if', which"),
    ],
)
def test_calls_that_cannot_be_held_are_refused_in_one_line(name, settings, told):
    loaded = fastglm.load(str(folder(name)), "fast")
    with pytest.raises(UsageError, match=f"^must_call.*{told}"):
        fastglm.stream(*loaded, "你好", **settings)
