"""Requests side by side: each answer equals its answer alone, whatever begins, fails or is cancelled beside it."""

import pytest
from recorded import folder

import fastglm
from fastglm.errors import NumbersError, UsageError
from fastglm.generation.streams import Streams

QUESTIONS = ["你好", "Hello", "晚上睡不着应该怎么办", "1 + 1"]


def settings(number):
    return {"max_new_tokens": 6 + 5 * number, "seed": number, "ignore_eos": True, "do_sample": number % 2 == 0}


def alone(loaded, number):
    return [piece.token for piece in fastglm.stream(*loaded, QUESTIONS[number], **settings(number))]


def collect(streams, found):
    """Run to the end; returns tokens, failures and ends by request."""
    while streams.busy:
        for id, news in streams.step():
            found.setdefault(id, []).append(getattr(news, "token", news))
    return found


def test_answers_side_by_side_are_those_alone(loaded):
    streams, found = Streams(*loaded), {}
    for number, question in enumerate(QUESTIONS):
        streams.add(number, question, **settings(number))
        for id, news in streams.step():
            found.setdefault(id, []).append(getattr(news, "token", news))
    collect(streams, found)
    assert found == {number: [*alone(loaded, number), None] for number in range(4)}


def test_a_cancelled_request_leaves_the_others_untouched(loaded):
    streams, found = Streams(*loaded), {}
    for number in (1, 3):
        streams.add(number, QUESTIONS[number], **settings(number))
    for _ in range(3):
        for id, news in streams.step():
            found.setdefault(id, []).append(news.token)
    streams.cancel(1)
    assert streams.busy
    collect(streams, found)
    assert found == {1: alone(loaded, 1)[:3], 3: [*alone(loaded, 3), None]}
    streams.cancel(3)  # it has ended


def test_a_failed_request_leaves_the_others_untouched(loaded, monkeypatch):
    wanted, streams = alone(loaded, 3), Streams(*loaded)
    streams.add(3, QUESTIONS[3], **settings(3))
    first = [news.token for _, news in streams.step()]
    spoiled = loaded[0].transformer.layers[1].mlp
    forward = spoiled.forward
    monkeypatch.setattr(spoiled, "forward", lambda x: forward(x) * float("nan") if x.shape[1] == 20 else forward(x))
    streams.add(7, list(range(100, 120)), **settings(1))
    found = collect(streams, {3: first})
    assert found[3] == [*wanted, None]
    (failure,) = found[7]
    assert isinstance(failure, NumbersError)


def test_wrong_settings_are_told_at_once_and_nothing_runs(loaded):
    streams = Streams(*loaded)
    with pytest.raises(UsageError, match="top_p"):
        streams.add(0, "你好", top_p=2.0)
    assert not streams.busy
    assert streams.step() == []


def test_an_unexpected_error_of_one_request_leaves_the_others_untouched(monkeypatch):
    loaded = fastglm.load(str(folder("chatglm")), "original")
    streams, found = Streams(*loaded), {}
    streams.add(1, QUESTIONS[1], **settings(1))
    streams.step()

    def broken(*_):
        raise RuntimeError("out of memory")
        yield

    with monkeypatch.context() as patch:
        patch.setattr("fastglm.engine.eager.EagerEngine.generate", broken)
        streams.add(2, QUESTIONS[2], **settings(2))
        for id, news in streams.step():
            found.setdefault(id, []).append(getattr(news, "token", news))
    collect(streams, found)
    assert [str(news) for news in found[2]] == ["out of memory"]
    assert found[1] == [*alone(loaded, 1)[1:], None]
