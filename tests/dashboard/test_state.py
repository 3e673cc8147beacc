"""Conversations and their files."""

import json
from pathlib import Path

import pytest

from dashboard.state import Conversation, Figures, NotAConversation, Round, Settings, Shelf, loads

SAID = Conversation(
    [Round("你好", "hello", figures=Figures(3, 0.1, 20.0, 1000, stop="eos")), Round("and?", error="it broke")],
    "demo",
    "int4",
    Settings(0.5, 1.0, 100, 7),
)


def test_a_conversation_survives_its_file() -> None:
    assert loads(SAID.dumps()) == SAID


def changed(**changes: object) -> str:
    return json.dumps({**json.loads(SAID.dumps()), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        b"\x89PNG\r\n",
        changed(format="another"),
        changed(version=2),
        changed(rounds=None),
        changed(rounds=[None]),
        changed(rounds=[{"query": 3}]),
        changed(rounds=[{"response": "no question"}]),
        changed(rounds=[{"query": "x", "unknown": 1}]),
        changed(rounds=[{"query": "x", "figures": {"tokens": "3"}}]),
        changed(settings={"temperature": float("nan")}),
        changed(settings={"top_p": 7}),
        changed(model=["demo"]),
    ],
)
def test_what_is_no_conversation_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotAConversation):
        loads(text)


def test_history_leaves_out_what_was_not_answered() -> None:
    assert SAID.history() == [("你好", "hello")]


def test_at_temperature_zero_nothing_is_sampled() -> None:
    assert Settings(temperature=0).for_stream() == {"do_sample": False, "max_length": 2048}
    assert Settings().for_stream() == {
        "do_sample": True,
        "top_p": 0.7,
        "temperature": 0.95,
        "max_length": 2048,
        "seed": None,
    }


def test_a_tab_finds_its_conversation_again_and_no_other(own_home: Path) -> None:
    shelf = Shelf()
    shelf.put("my tab", SAID)
    assert shelf.get("my tab") is SAID
    assert Shelf().get("my tab") == SAID  # after a restart
    assert Shelf().get("another").rounds == []
    shelf.forget("my tab")
    assert shelf.get("my tab") == SAID
    names = [path.name for path in (own_home / "conversations").iterdir()]
    assert len(names) == 1
    assert "my tab" not in names[0]


def test_a_failed_write_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    shelf.put("tab", SAID)

    def broken(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text.encode()[:20])
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", broken)
        shelf.put("tab", Conversation())
        assert shelf.unsaved("tab") == "no space left"
    assert Shelf().get("tab") == SAID
    assert shelf.get("tab") == Conversation(), "what could not be written goes on in memory"
    shelf.save("tab")
    assert shelf.unsaved("tab") is None
    assert Shelf().get("tab") == Conversation()


def test_a_damaged_file_is_set_aside() -> None:
    shelf = Shelf()
    shelf.path("tab").write_text("half a conv")
    assert shelf.get("tab") == Conversation()
    shelf.save("tab")
    assert shelf.path("tab").with_suffix(".damaged").read_text() == "half a conv"
