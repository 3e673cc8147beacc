"""The app and a server on the same machine: the server's record, its answers for the app, and its stop."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hosting import eventually
from serving import running

from fastglm.errors import FastGLMError, HostError
from fastglm.hosting.lease import LENT
from fastglm.hosting.protocol import HostKey
from fastglm.messages import Message
from fastglm.serve.app import Settings
from fastglm.serve.record import Record, announced, server_of, servers
from fastglm.serve.shared_host import SharedHost
from fastglm.system.memory import Memory


@contextlib.contextmanager
def ready(settings: Settings | None = None) -> Iterator[SharedHost]:
    """A server that has loaded its model, as the app sees it."""
    with running(settings=settings) as host:
        eventually(lambda: host.is_ready)
        yield host


def open_answers(host: SharedHost) -> str:
    return next(line for line in host.get("/metrics")[1].splitlines() if line.startswith("fastglm_open_answers"))


def test_the_app_gets_every_figure_of_an_answer(fake_model: None) -> None:
    with ready() as host:
        answer = host.ask("history", [Message("system", "be brief"), Message("user", "q")], owner="tab")
        (piece,) = answer
        assert piece.text == repr([Message("system", "be brief"), Message("user", "q")])
        assert (piece.rounds_left_out, piece.cache_memory, piece.stop) == (3, 99, "eos")
        assert answer.state == "done"
        assert isinstance(answer.memory, Memory)
        assert [piece.text for piece in host.ask("rewrite")][-3:] == ["", "new", "ne"]
        (call,) = host.ask("call")
        assert call.call
        assert call.call.name == "search"
        (told,) = host.ask("settings", owner="tab", top_p=0.5)
        assert told.text == "[('owner', 'app tab'), ('top_p', 0.5)]"
        assert 'fastglm_requests_total{path="/app/ask",status="200"} 4.0' in host.get("/metrics")[1]


def test_errors_reach_the_app_in_one_line(fake_model: None) -> None:
    with ready(Settings(limit=1)) as host:
        with pytest.raises(FastGLMError, match=r"^too long; shorten it$"):
            list(host.ask("context"))
        with pytest.raises(FastGLMError, match="ended") as ended:
            list(host.ask("crash"))
        assert "The log" not in str(ended.value)
        eventually(lambda: host.is_ready)
        slow = host.ask("slow")
        eventually(lambda: slow.piece)
        with pytest.raises(FastGLMError, match="Too many requests"):
            list(host.ask("x"))
        slow.cancel()
    with pytest.raises(HostError, match="has ended, or does not answer: try again"):
        list(host.ask("x"))
    with pytest.raises(HostError):
        host.get("/metrics")


@pytest.mark.parametrize("prompt", ["slow", "prefill"])
def test_a_stopped_answer_frees_its_place(fake_model: None, prompt: str) -> None:
    with ready() as host:
        answer = host.ask(prompt)
        eventually(lambda: open_answers(host).endswith(" 1.0"))
        eventually(lambda: answer.piece or prompt == "prefill")
        answer.cancel()
        assert answer.wait(20)
        assert answer.state == "cancelled"
        eventually(lambda: open_answers(host).endswith(" 0.0"))


def test_only_the_secret_opens_the_addresses_for_the_app(fake_model: None) -> None:
    with ready(Settings(key="a-key")) as host:
        url, body = host.record.url, {"prompt": "x", "history": [], "settings": {}}
        for token, ask, metrics in ((None, 401, 401), ("a-key", 401, 200), (host.record.token, 200, 200)):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            assert httpx.post(f"{url}/app/ask", json=body, headers=headers).status_code == ask
            assert httpx.get(f"{url}/metrics", headers=headers).status_code == metrics
        assert httpx.post(f"{url}/app/stop", json={}, headers={"Authorization": "Bearer a-key"}).status_code == 401
        assert "/app/" not in httpx.get(f"{url}/openapi.json").text


def test_the_app_stops_a_server(fake_model: None) -> None:
    with ready() as host:
        host.stop()
        eventually(lambda: not host.is_ready)


def test_a_record_is_found_while_its_server_runs(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastglm.system.home._is_private", lambda _: False)  # in a home that is shared too
    one = Record("http://127.0.0.1:8000", HostKey("demo", "int4", "cpu"), "demo", False)
    with announced(one):
        two = Record("http://127.0.0.1:8001", HostKey("demo", "int8"), "demo", True)
        with announced(two):
            assert servers() == [one, two]
            assert server_of(HostKey("demo", "int8")) == two
        assert servers() == [one]
        assert server_of(HostKey("demo", "int4")) == one
        assert server_of(HostKey("demo", "fast")) is None
        assert server_of(HostKey("demo", "int4", adapter="/a")) is None
        (path,) = (own_home / "servers").glob("*.json")
        if os.name == "posix":
            assert path.stat().st_mode & 0o777 == 0o600
        assert one.token not in repr(one)
    assert not list((own_home / "servers").iterdir())


def test_a_folder_is_found_by_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, link = tmp_path / "model", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    with announced(Record("http://127.0.0.1:8000", HostKey("model"), "model", False)):
        assert server_of(HostKey(str(folder)))
        assert server_of(HostKey(str(link)))


def test_a_server_that_is_measured_leaves_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LENT, "cpu")
    with announced(Record("http://127.0.0.1:8000", HostKey(), "demo", False)):
        assert not servers()


def test_the_record_of_a_killed_server_is_removed(own_home: Path) -> None:
    place = own_home / "servers"
    place.mkdir()
    (place / "a.lock").touch()
    (place / "a.json").write_text(json.dumps({"url": "http://127.0.0.1:8000"}))
    assert servers() == []
    assert not list(place.iterdir())
