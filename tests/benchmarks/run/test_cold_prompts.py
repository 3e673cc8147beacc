"""A benchmark reads each prompt from its beginning, whatever the model has read before."""

from typing import Any, cast

import pytest
from fake_hosts import FakeAnswer
from recorded import folder

import fastglm
from benchmarks.run.session import Session
from fastglm.errors import HostError
from fastglm.generation.piece import Piece
from fastglm.generation.streams import Streams

PROMPT = list(range(100, 120))


class Host:
    """A host in this process; `more` settings go with each request."""

    def __init__(self, **more: Any) -> None:
        self._streams, self._more = Streams(*fastglm.load(str(folder("chatglm3")), "fast", "cpu")), more

    def ask(self, prompt: list[int], *, lease: bool, **settings: Any) -> FakeAnswer:
        self._streams.add(0, prompt, **settings, **self._more)
        pieces: list[Piece] = []
        while self._streams.busy:
            pieces += [news for _, news in self._streams.step() if isinstance(news, Piece)]
        return FakeAnswer(pieces)


def measured(host: Host) -> list[Piece]:
    return Session.ask(cast(Any, None), cast(Any, host), PROMPT, 3)


def test_a_prompt_that_comes_again_is_read_again() -> None:
    host = Host()
    assert [piece.reused_tokens for _ in range(3) for piece in measured(host)] == [0] * 9


def test_a_prompt_that_was_read_before_is_never_measured() -> None:
    host = Host(owner="somebody")
    measured(host)
    with pytest.raises(HostError, match="19 of 20 tokens of a prompt were not read: its time is no cold one"):
        measured(host)
