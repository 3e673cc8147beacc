"""The additions to a growing answer: nothing is taken back, and no part of a call is shown as text."""

from collections.abc import Sequence

import pytest

from fastglm.generation.piece import Piece
from fastglm.messages import ToolCall
from fastglm.serve.facts import ModelFacts
from fastglm.serve.growing_text import GrowingText

TURN = 8
FACTS = ModelFacts(("user", "assistant"), "chatglm3", ",[", True, (), TURN)
CALL = ToolCall("search", "{}", "{}")


def additions(
    texts: Sequence[str], tools: Sequence[str] = (), call: ToolCall | None = None, turn: int = -1
) -> tuple[list[str], ToolCall | None]:
    """The additions of pieces with these texts, and the call at their end; the piece `turn` begins a message."""
    growing = GrowingText(FACTS, tools)
    last = len(texts) - 1
    added = []
    for number, text in enumerate(texts):
        is_last = number == last
        token = TURN if number == turn else 1
        added.append(
            growing.add(
                Piece(text, token, number + 1, 1, 0, 0, stop="eos" if is_last else None, call=call if is_last else None)
            )
        )
    return added, growing.call


@pytest.mark.parametrize(
    ("texts", "added"),
    [
        (["a", "a,", "a，b", "a，b"], ["a", "", "，b", ""]),
        (["a", "a[[", "a[[b"], ["a", "", "[[b"]),
        (["a", "a,"], ["a", ","]),
        (["", "a", "a"], ["", "a", ""]),
    ],
)
def test_the_end_waits_until_it_stays(texts: list[str], added: list[str]) -> None:
    assert additions(texts) == (added, None)


def test_a_text_that_may_become_a_call_waits() -> None:
    texts = ["se", "search", "search\n{", "search\n{}"]
    assert additions(texts, ["search"], CALL) == (["", "", "", ""], CALL)
    assert additions(texts, ["search"]) == (["", "", "", "search\n{}"], None)  # it was text after all
    assert additions(texts, ["other"]) == (["se", "arch", "\n{", "}"], None)
    assert additions(["sea", "sea is", "sea is blue"], ["search"]) == (["", "sea is", " blue"], None)


def test_a_call_in_a_later_message_is_no_text() -> None:
    texts = ["I look.", "I look.", "I look.search", "I look.search\n{}"]
    assert additions(texts, ["search"], CALL, turn=1) == (["I look.", "", "", ""], CALL)
    assert additions(texts, ["search"], None, turn=1) == (["I look.", "", "", "search\n{}"], None)
