"""Many answers by grammars at temperature 1: each that ends by itself is JSON, by its schema if it has one."""

import json

import pytest

import fastglm
from fastglm.generation.streams import Streams

DRAWN = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
LENGTHS = 20, 60, 200  # tokens; most answers that end by themselves are short, and few are long
PROMPTS = ["你好", "1 + 1 = ?", "Hello! Who are you?", "讲个故事", "JSON, please.", "把“苹果”写成 JSON。"]
SIDE_BY_SIDE = 16


def answers(loaded, grammar, count):
    """The texts of answers that end by themselves, `count` at least."""
    streams, texts, running, seed = Streams(*loaded), [], set(), 0
    while len(texts) < count:
        while len(running) < SIDE_BY_SIDE:
            most, prompt = LENGTHS[seed // len(PROMPTS) % len(LENGTHS)], PROMPTS[seed % len(PROMPTS)]
            streams.add(seed, prompt, seed=seed, grammar=grammar, max_new_tokens=most, **DRAWN)
            running.add(seed)
            seed += 1
        for id, news in streams.step():
            assert not isinstance(news, Exception), (id, news)
            if news is None:
                running.discard(id)
            elif news.stop == "eos":
                texts.append(news.text)
        assert seed < 100 * count
    for id in running:
        streams.cancel(id)
    return texts


def is_object(found):
    return isinstance(found, dict)


COLORS = ["red", "绿色", 'deep "blue"', "a\\b\n"]
OBJECT = {
    "type": "object",
    "properties": {"color": {"enum": COLORS}, "count": {"type": "integer", "minimum": -3, "maximum": 40}},
    "required": ["color", "count"],
    "additionalProperties": False,
}
ARRAY = {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 5}
NESTED = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "parts": {"type": "array", "items": OBJECT, "maxItems": 2},
        "more": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"type": "number"}}}]},
    },
    "required": ["name", "parts", "more"],
    "additionalProperties": False,
}


def is_colored(found):
    return (
        set(found) == {"color", "count"}
        and found["color"] in COLORS
        and type(found["count"]) is int
        and -3 <= found["count"] <= 40
    )


def is_list(found):
    return type(found) is list and 2 <= len(found) <= 5 and all(type(each) is bool for each in found)


def is_nested(found):
    more = found["more"]
    return (
        set(found) == {"name", "parts", "more"}
        and type(found["name"]) is str
        and len(found["name"]) <= 12
        and len(found["parts"]) <= 2
        and all(map(is_colored, found["parts"]))
        and (more is None or (isinstance(more, dict) and type(more.get("x", 0)) in (int, float)))
    )


@pytest.mark.soak
@pytest.mark.parametrize(
    ("grammar", "count", "fits"),
    [
        ("json", 200, is_object),
        (json.dumps(OBJECT), 50, is_colored),
        (json.dumps(ARRAY), 50, is_list),
        (json.dumps(NESTED), 50, is_nested),
    ],
    ids=["json", "object", "array", "nested"],
)
@pytest.mark.parametrize("name", ["demo", "demo-glm"])
def test_all_answers_that_end_by_themselves_are_json_by_their_grammar(name, grammar, count, fits):
    for text in answers(fastglm.load(name, "fast"), grammar, count):
        assert fits(json.loads(text)), text
