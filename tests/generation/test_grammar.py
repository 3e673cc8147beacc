"""Grammars: answers are JSON by a schema, on every engine and vocabulary, beside answers in any form."""

import json
import re
import sys

import pytest
import torch
from captured import like_cuda
from recorded import folder

import fastglm
from fastglm.errors import UsageError
from fastglm.generation.grammar import Grammar, Matcher
from fastglm.generation.streams import Streams

PROMPT = [5, 6, 7, 86, 89]
GREEDY = {"max_new_tokens": 60, "do_sample": False}
DRAWN = {"max_new_tokens": 150, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
NAMES = ["甲,乙", 'b\n"c" ', "[[训练时间]]"]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": NAMES}, "count": {"type": "integer", "minimum": 1, "maximum": 30}},
    "required": ["name", "count"],
    "additionalProperties": False,
}


def last_of(loaded, prompt="你好", **settings):
    *_, last = fastglm.stream(*loaded, prompt, **settings)
    return last


def check(text):
    found = json.loads(text)
    assert set(found) == {"name", "count"}
    assert found["name"] in NAMES
    assert 1 <= found["count"] <= 30


@pytest.mark.parametrize("name", ["chatglm", "chatglm2", "chatglm3", "glm4"])
def test_answers_of_every_vocabulary_follow_a_schema_exactly(name):
    loaded = fastglm.load(str(folder(name)), "fast")
    for seed in range(3):
        last = last_of(loaded, grammar=json.dumps(SCHEMA), seed=seed, **DRAWN)
        assert last.stop == "eos"
        check(last.text)


def test_greedy_answers_are_those_by_hand(loaded):
    """The best token of those that continue one of all allowed texts."""
    model, tokenizer = loaded
    spaces = "", " ", "\n", "  ", " \n", "\n ", "\n\n"
    texts = [(space + text).encode() for space in spaces for text in ('"你好"', '"hello"')]
    answer, said, known = [], b"", tokenizer.token_bytes(range(model.config.vocab_size))
    while not answer or answer[-1] not in model.stop_tokens:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*PROMPT, *answer]])).logits[0, -1].clone()
        for id, new in enumerate(known):
            fits = said in texts if id in model.stop_tokens else new and any(t.startswith(said + new) for t in texts)
            logits[id] = logits[id] if fits else -torch.inf
        answer.append(int(logits.argmax()))
        said += known[answer[-1]]
    pieces = list(fastglm.stream(model, tokenizer, PROMPT, grammar='{"enum": ["你好", "hello"]}', **GREEDY))
    assert [piece.token for piece in pieces] == answer
    assert pieces[-1].stop == "eos"
    assert json.loads(pieces[-1].text) in ("你好", "hello")


def test_rows_with_and_without_a_grammar_leave_one_another_alone(loaded):
    more = {**DRAWN, "seed": 4, "ignore_eos": True}
    asked = [more, {**DRAWN, "seed": 7, "grammar": json.dumps(SCHEMA), "logprobs": 1}, {**more, "do_sample": False}]
    alone = [[piece.token for piece in fastglm.stream(*loaded, "你好", **settings)] for settings in asked]
    streams, found = Streams(*loaded), {number: [] for number in range(3)}
    for number, settings in enumerate(asked):
        streams.add(number, "你好", **settings)
    while streams.busy:
        for id, news in streams.step():
            found[id].append(news.token if news else None)
    assert found == {number: [*tokens, None] for number, tokens in enumerate(alone)}


def test_a_grammar_that_fails_ends_its_own_answer_alone(monkeypatch):
    loaded, take = fastglm.load(str(folder("chatglm")), "fast"), Matcher.take
    broken = UsageError("grammar cannot be followed further: too large.")

    def taking(matcher, token):
        take(matcher, token)
        raise broken

    monkeypatch.setattr(Matcher, "take", taking)
    streams, found = Streams(*loaded), {1: [], 2: []}
    streams.add(1, "你好", max_new_tokens=6, ignore_eos=True)
    streams.add(2, "你好", grammar="json")
    while streams.busy:
        for id, news in streams.step():
            found[id].append(news)
    assert found[2] == [broken]
    assert [piece.stop for piece in found[1][:-1]] == [None] * 5 + ["length"]


def test_captured_steps_leave_grammars_out(monkeypatch):
    asked = {**DRAWN, "seed": 3, "grammar": json.dumps(SCHEMA), "presence_penalty": 1.0}
    wanted = last_of(fastglm.load(str(folder("chatglm")), "fast"), **asked)
    like_cuda(monkeypatch)
    found = last_of(fastglm.load(str(folder("chatglm")), "fast"), **asked)
    assert (found.text, found.tokens) == (wanted.text, wanted.tokens)
    check(found.text)


@pytest.mark.parametrize("name", ["demo", "demo-glm"])
def test_json_answers_of_the_demo_models_parse(name):
    """Ends of texts and objects are made likelier, so that most answers end by themselves."""
    model, tokenizer = fastglm.load(name, "fast")
    known = tokenizer.token_bytes(range(model.config.vocab_size))
    ends = {id: 5.0 for id, token in enumerate(known) if token in (b'"', b"}", b" ", b"\n")}
    streams, texts = Streams(model, tokenizer), []
    for seed in range(16):
        prompt = ["你好", "1 + 1", "Hello", "讲个故事"][seed % 4]
        streams.add(seed, prompt, seed=seed, grammar="json", logit_bias=ends, **DRAWN)
    while streams.busy:
        texts += [news.text for _, news in streams.step() if news and news.stop == "eos"]
    assert len(texts) >= 5
    assert all(isinstance(json.loads(text), dict) for text in texts)


def test_white_space_is_limited(loaded):
    known = loaded[1].token_bytes(range(loaded[0].config.vocab_size))
    spaces = {id: 100.0 for id, token in enumerate(known) if token.isspace()}
    text = last_of(loaded, grammar="json", logit_bias=spaces, **GREEDY | {"max_new_tokens": 250}).text
    outside = re.sub(r'"(\\.|[^"\\])*("|$)', '"', text)
    assert re.search(r"\s", outside)
    assert max(map(len, re.findall(r"\s+", outside))) <= 13


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"grammar": "xml"}, "is no JSON"),
        ({"grammar": "[1]"}, "an object"),
        ({"grammar": {"type": "object"}}, "got dict"),
        ({"grammar": '{"type": "thing"}'}, "Invalid type: thing"),
        ({"grammar": '{"not": {}}'}, "Unimplemented keys"),
        ({"grammar": '{"$ref": "http://127.0.0.1/x"}'}, "cannot be followed"),
        ({"grammar": '{"pattern": "("}'}, "cannot be followed"),
        ({"grammar": "[" * 100_000}, "is no JSON"),
        ({"grammar": '{"not":' * 900 + "{}" + "}" * 900}, "."),
        ({"grammar": "json", "ignore_eos": True}, "leave ignore_eos out"),
    ],
)
def test_wrong_grammars_are_named_in_one_line(loaded, wrong, told):
    with pytest.raises(UsageError, match=f"^grammar .*{told}") as found:
        fastglm.stream(*loaded, "你好", **wrong)
    assert "\n" not in str(found.value)


def test_a_missing_library_is_named(loaded, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UsageError, match=r"pip install 'fastglm\[grammar\]'"):
        fastglm.stream(*loaded, "你好", grammar="json")


def test_a_tokenizer_is_read_once(loaded, monkeypatch):
    model, tokenizer = loaded
    arguments = tokenizer, model.config.vocab_size, model.stop_tokens
    table = Grammar("json", *arguments).table
    monkeypatch.setattr(type(tokenizer), "token_bytes", None)
    assert Grammar("json", *arguments).table is table
