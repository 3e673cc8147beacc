"""Streams of one conversation: later turns read only what is new, with the texts of a cold start."""

import pytest
from recorded import folder

import fastglm
from fastglm.errors import UsageError
from fastglm.generation.streams import Streams

PROMPT = list(range(100, 120))
SETTINGS = {"max_new_tokens": 4, "do_sample": False, "ignore_eos": True}


@pytest.fixture
def loaded():
    return fastglm.load(str(folder("chatglm3")), "fast", "cpu")


def reused(loaded, prompt, **more):
    return {piece.reused_tokens for piece in fastglm.stream(*loaded, prompt, **SETTINGS, **more)}


def test_each_piece_tells_how_many_tokens_were_not_read_again(loaded):
    answer = [piece.token for piece in fastglm.stream(*loaded, PROMPT, **SETTINGS)]
    second = [*PROMPT, *answer, 5, 6]
    assert reused(loaded, second, owner=None) == {0}
    assert reused(loaded, second, owner="somebody else") == {0}
    assert reused(loaded, second) == {len(PROMPT) + 3}


def test_an_owner_is_a_text(loaded):
    with pytest.raises(UsageError, match=r"owner must be a text, or None \(got int\)"):
        fastglm.stream(*loaded, PROMPT, owner=3)


def test_requests_without_an_owner_read_everything(loaded):
    streams, found = Streams(*loaded), []
    for id in range(2):
        streams.add(id, PROMPT, **SETTINGS)
        while streams.busy:
            found += [news.reused_tokens for _, news in streams.step() if news]
    assert found == [0] * 8


@pytest.mark.parametrize("name", ["chatglm2", "chatglm3", "glm4"])
def test_a_conversation_in_words_has_the_texts_of_a_cold_start(name):
    loaded, history = fastglm.load(str(folder(name)), "fast", "cpu"), []
    for turn, query in enumerate(["你好，你是谁？", "Hello", "晚上睡不着应该怎么办"]):
        *_, warm = fastglm.stream(*loaded, query, history, **SETTINGS, owner="me")
        *_, cold = fastglm.stream(*loaded, query, history, **SETTINGS, owner=None)
        assert (warm.text, cold.reused_tokens) == (cold.text, 0)
        assert warm.reused_tokens >= (8 if turn else 0)
        history.append((query, warm.text))


def test_the_engine_as_published_reads_everything():
    loaded = fastglm.load(str(folder("chatglm3")), "original", "cpu")
    assert [reused(loaded, PROMPT) for _ in range(2)] == [{0}, {0}]
