"""Conversations and their files."""

import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.session.state import Conversation, Figures, NotAConversation, Round, Settings, Shelf, loads
from fastglm.messages import Message, ToolCall

FIGURES = Figures(3, 0.1, 20.0, 1000, stop="eos")
SAID = Conversation(
    [Round("你好", "hello", figures=FIGURES), Round("and?", error="it broke")],
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
def test_texts_that_are_no_conversation_are_refused(text: str | bytes) -> None:
    with pytest.raises(NotAConversation):
        loads(text)


def test_a_system_message_is_kept_and_begins_the_history() -> None:
    told = replace(SAID, system="短。")
    assert loads(told.dumps()) == told
    assert told.history() == [Message("system", "短。"), *SAID.history()]
    before = {name: value for name, value in json.loads(SAID.dumps()).items() if name != "system"}
    assert loads(json.dumps(before)) == SAID  # a file of an earlier version


def test_a_call_of_a_tool_is_kept_and_goes_on_as_one() -> None:
    called = Conversation([Round("look", "search\n{}", call=ToolCall("search", "{}", "{}"))])
    assert loads(called.dumps()) == called
    assert called.history() == [Message("user", "look"), Message("assistant", "{}", "search")]


def test_history_leaves_out_what_was_not_answered() -> None:
    assert SAID.history() == [Message("user", "你好"), Message("assistant", "hello")]


def test_at_temperature_zero_nothing_is_sampled() -> None:
    assert Settings(temperature=0).for_stream() == {"do_sample": False, "max_length": 8192}
    assert Settings().for_stream() == {
        "do_sample": True,
        "top_p": 0.7,
        "temperature": 0.95,
        "max_length": 8192,
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
    (kept,) = (own_home / "conversations").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    names = [path.name for path in (own_home / "conversations").iterdir()]
    assert len(names) == 1
    assert "my tab" not in names[0]


def test_a_failed_write_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    shelf.put("tab", SAID)

    def broken(part: Path, _path: Path) -> None:
        part.write_bytes(part.read_bytes()[:20])
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", broken)
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


@pytest.mark.parametrize(
    "data",
    [
        {"settings": {"top_p": 0.7, "temperature": 3.0, "max_length": 100}},
        {"settings": {"top_p": 0.7, "temperature": 1.0, "max_length": 8}},
        {"settings": {"top_p": 0.01, "temperature": 1.0, "max_length": 100}},
        {"settings": {"seed": 2**31}},
        {"settings": {"seed": True}},
        {"rounds": [{"query": "x", "figures": {**vars(FIGURES), "memory": 10**18}}]},
        {"rounds": [{"query": "x", "figures": {**vars(FIGURES), "ttft": 1e300}}]},
        {"rounds": [{"query": "x", "figures": {**vars(FIGURES), "tokens": -1}}]},
        {"rounds": [{"query": "x", "figures": {**vars(FIGURES), "tokens": True}}]},
        {"rounds": [{"query": "x", "model": "m" * 2000}]},
        {"rounds": [{"query": "x", "figures": []}]},
        {"rounds": [[]] * 100_000},
        {"rounds": [{"query": "x"}] * 400_000},
        {"model": "x" * 3_000_000},
    ],
)
def test_values_that_a_page_cannot_draw_are_refused(data: dict[str, object]) -> None:
    text = changed(**data)
    tracemalloc.start()
    try:
        with pytest.raises(NotAConversation):
            loads(text)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000 + 2 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"[" * 20_000, b'{"a":' * 20_000, b'{"version": ' + b"9" * 5_000 + b"}", b"\xff\xfe"])
def test_a_small_file_takes_little_memory(text: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(NotAConversation):
            loads(text)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_is_none_is_set_aside(own_home: Path) -> None:
    shelf = Shelf()
    os.mkfifo(shelf.path("pipe"))
    shelf.path("device").symlink_to("/dev/zero")
    for tab in ("pipe", "device"):
        assert shelf.get(tab) == Conversation()
        shelf.save(tab)
        assert shelf.unsaved(tab) is None
        assert Shelf().get(tab) == Conversation()


def test_a_home_that_is_no_folder_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "file"))
    shelf = Shelf()
    assert shelf.get("tab") == Conversation()
    shelf.save("tab")
    assert "file" in str(shelf.unsaved("tab"))
