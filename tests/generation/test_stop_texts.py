"""Stop texts: an answer ends before the first of them, and no piece shows a part of one."""

from types import SimpleNamespace

import pytest

import fastglm
from fastglm.engine import GREEDY
from fastglm.errors import UsageError
from fastglm.generation.answer import Answer
from fastglm.generation.request import Request
from fastglm.generation.stop_texts import StopTexts
from fastglm.generation.streams import Streams
from fastglm.models.chatglm.conversation import CONVERSATION

SETTINGS = {"max_new_tokens": 24, "do_sample": False, "ignore_eos": True}
TEXT = "你好,世界abab abc 再见"


def pieces_of(loaded, prompt="Hello", **settings):
    return list(fastglm.stream(*loaded, prompt, **{**SETTINGS, **settings}))


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("stops", "before"),
    [
        (["abc"], "你好,世界abab "),
        (["ab"], "你好,世界"),
        (["b abc", "界"], "你好,世"),
        (["abcd", "bab"], "你好,世界a"),
        (["abab", "bab"], "你好,世界"),
        (["再见!", "ac"], TEXT),
        ([], TEXT),
    ],
)
def test_the_first_complete_stop_text_ends_a_text_however_it_is_cut(stops, before, size):
    texts, shown = StopTexts(stops), ""
    for start in range(0, len(TEXT), size):
        shown += texts.add(TEXT[start : start + size])
        assert before.startswith(shown)
    assert texts.found == (before != TEXT)
    assert shown + texts.finish() == before


def test_an_answer_ends_before_a_stop_text_that_spans_tokens(loaded):
    whole = pieces_of(loaded)
    cut = len(whole[10].text) - 1
    stop = whole[-1].text[cut : cut + 3]
    wanted = whole[-1].text[: whole[-1].text.index(stop)]
    pieces = pieces_of(loaded, stop=["nothing of it", stop])
    assert pieces[-1].stop == "stop"
    assert pieces[-1].text == wanted.rstrip()
    assert {piece.stop for piece in pieces[:-1]} == {None}
    assert [piece.token for piece in pieces] == [piece.token for piece in whole[: len(pieces)]]
    assert len(pieces) < len(whole)
    for piece in pieces:
        assert wanted.startswith(piece.text)


def test_the_beginning_of_a_stop_text_is_shown_where_the_answer_ends(loaded):
    whole = pieces_of(loaded)[-1].text
    pieces = pieces_of(loaded, stop=[whole[-2:] + "and more"])
    assert pieces[-1].text == whole
    assert pieces[-1].stop == "length"
    assert not any(piece.text.endswith(whole[-2:]) for piece in pieces[:-1])


def test_the_cleaned_text_holds_no_stop_text():
    """The clean-up makes "，" of "," beside a Chinese character, and a year of a placeholder."""
    model = SimpleNamespace(config=SimpleNamespace(conversation=CONVERSATION), context_length=100)
    tokenizer = SimpleNamespace(decode=lambda ids, **_: "".join(map(chr, ids)))
    for stop, wanted in {"，": "甲", ",": "甲", "2023": "甲，乙", "年丙": "甲，乙2023"}.items():
        answer = Answer(model, tokenizer, Request([1], 50, GREEDY, (), {}, 0, 0.0, stop_texts=(stop,)))
        for character in "甲,乙[[训练时间]]丙":
            if is_last := answer.add(ord(character)):
                break
            assert stop not in answer.piece(False, 0).text
        piece = answer.piece(is_last, 0)
        assert (piece.text, piece.stop) == (wanted, "stop")


def test_white_space_before_an_answer_ends_nothing(loaded, monkeypatch):
    tokenizer = loaded[1]
    decode = type(tokenizer).decode
    monkeypatch.setattr(type(tokenizer), "decode", lambda *args, **more: "\n" + decode(*args, **more))
    pieces = pieces_of(loaded, stop=["\n"], max_new_tokens=5)
    assert len(pieces) == 5
    assert pieces[-1].stop == "length"


def test_a_stop_text_beside_other_requests_disturbs_none(loaded):
    model, tokenizer = loaded
    alone = [piece.text for piece in pieces_of(loaded, "你好")]
    whole = pieces_of(loaded)
    streams = Streams(model, tokenizer)
    streams.add(1, "你好", **SETTINGS)
    streams.add(2, "Hello", **SETTINGS, stop=[whole[8].text[-1]])
    found = {1: [], 2: []}
    while streams.busy:
        for id, news in streams.step():
            found[id].append(news)
    assert [piece.text for piece in found[1][:-1]] == alone
    assert found[2][-2].stop == "stop"
    assert len(found[2]) < len(whole)


@pytest.mark.parametrize("wrong", ["end", [""], [3], 7, None])
def test_wrong_stop_texts_are_named(loaded, wrong):
    with pytest.raises(UsageError, match="stop must"):
        fastglm.stream(*loaded, "Hello", stop=wrong)
