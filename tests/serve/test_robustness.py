"""Clients that use up what others need, and times at which a server cannot answer."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hosting import eventually
from load import check_error, connected, response
from malformed import ASK, CHAT, post
from serving import served

import fastglm.serve.served_model
from fastglm.generation.piece import Piece
from fastglm.hosting.host import Host
from fastglm.hosting.protocol import HostKey
from fastglm.serve import connection, guard, server
from fastglm.serve.answering import Answering
from fastglm.serve.app import Settings
from fastglm.serve.errors import ApiError
from fastglm.serve.metrics import Metrics

SLOW = {"messages": [{"role": "user", "content": "slow"}]}


def told(answer: httpx.Response) -> dict[str, Any]:
    """The error of a response."""
    check_error(answer.json())
    return answer.json()["error"]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[Host]:
    """The hosts that servers start, in order."""
    started: list[Host] = []

    def start(key: HostKey) -> Host:
        started.append(Host(key))
        return started[-1]

    monkeypatch.setattr(fastglm.serve.served_model, "Host", start)
    return started


@contextlib.contextmanager
def asking(client: httpx.Client, path: str, body: dict[str, Any]) -> Iterator[Callable[[], httpx.Response]]:
    """Ask in a thread; yields a call that waits for the answer."""
    found: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: found.append(httpx.post(f"{client.base_url}{path}", json=body)))
    thread.start()

    def answer() -> httpx.Response:
        thread.join(60)
        return found[0]

    eventually(lambda: "fastglm_open_answers 0.0" not in client.get("/metrics").text)
    yield answer
    thread.join(60)


def test_more_connections_than_there_may_be_are_refused(fake: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MOST", 8)
    monkeypatch.setattr(connection, "_REFUSED", 2)
    with contextlib.ExitStack() as idle:
        for _ in range(7):  # and the client's own
            idle.enter_context(connected(str(fake.base_url)))
        for _ in range(2):
            last = idle.enter_context(connected(str(fake.base_url)))
            last.sendall(post(ASK, b'{"prompt": "x"}'))
            status, body = response(last)
            assert status == 503
            check_error(json.loads(body))
        dropped = [idle.enter_context(connected(str(fake.base_url))) for _ in range(3)]
        with contextlib.suppress(ConnectionResetError):
            assert dropped[-1].recv(1) == b""
        assert fake.get("/health").status_code == 200
    with contextlib.suppress(httpx.ConnectError):
        eventually(lambda: httpx.get(f"{fake.base_url}/health").status_code == 200)


def test_a_client_that_never_reads_is_given_up(fake: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_STUCK", 0.3)
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", fake.base_url.port))
        path = "/static/swagger/swagger-ui-bundle.js"
        for _ in range(20):  # pipelined: more than the system keeps
            stuck.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        size = len(fake.get(path).content)
        threading.Event().wait(0.8)
        read = 0
        with contextlib.suppress(ConnectionResetError):
            while part := stuck.recv(1 << 20):
                read += len(part)
        assert read < 20 * size


def test_bodies_share_their_memory(fake: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_ALL_BODIES", 10_000)
    with connected(str(fake.base_url)) as half:
        half.sendall(post(ASK, b" " * 9_000 + b"{")[:-1])
        for _ in range(5):  # until the server has read it
            fake.get("/health")
        answer = fake.post(ASK, json={"prompt": "x" * 1_500})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "large bodies" in told(answer)["message"]
    eventually(lambda: fake.post(ASK, json={"prompt": "x" * 1_500}).status_code == 200)


def test_a_body_in_drops_ends_in_time(fake: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_LONGEST_BODY", 0.5)
    with connected(str(fake.base_url)) as slow:
        slow.sendall(post(ASK, b" " * 100)[:-100])
        with contextlib.suppress(OSError):
            for _ in range(20):
                slow.sendall(b" ")
                threading.Event().wait(0.05)
        status, body = response(slow)
        assert status == 408
        check_error(json.loads(body))


def test_a_slow_reader_keeps_no_place_beyond_the_deadline() -> None:
    pieces = [Piece("x" * count, 7, count, 1, 0.1, 0.1) for count in range(1, 4)]
    answer = SimpleNamespace(over=True, listen=lambda heard: None, cancel=lambda: None)
    answer.after = lambda seen, last: iter(pieces[seen:])

    question: Any = SimpleNamespace(prompt="", history=(), settings={})

    async def read() -> None:
        async def get() -> Any:
            return SimpleNamespace(facts=None, host=SimpleNamespace(ask=lambda *_, **__: answer))

        model: Any = SimpleNamespace(get=get)
        async for _ in Answering(model, Metrics(1), 1, 0.2).pieces(1, lambda _: [question]):
            await asyncio.sleep(0.15)

    with pytest.raises(ApiError) as error:
        asyncio.run(read())
    assert error.value.status_code == 504


def test_an_answer_that_waits_for_memory_begins_after_the_deadline_of_another(fake_model: None) -> None:
    with served(HostKey(), Settings(deadline=0.6)) as client, asking(client, CHAT, SLOW) as slow:
        eventually(lambda: "fastglm_waiting_answers 0.0" in client.get("/metrics").text)
        assert client.post(ASK, json={"prompt": "large"}).status_code == 200  # which the model gives alone
        assert (slow().status_code, told(slow())["code"]) == (504, "deadline")


def test_a_question_while_the_model_loads_is_answered(fake_model: None) -> None:
    with served(HostKey(), ready=False) as client:
        assert client.post(ASK, json={"prompt": "x"}).json()["response"] == "x1 x2 x3 x4 x5 "


def test_a_host_that_dies_while_nobody_asks_is_replaced(fake_model: None, hosts: list[Host]) -> None:
    with served(HostKey()) as client:
        os.kill(hosts[0].info.pid, signal.SIGKILL)
        eventually(lambda: not hosts[0].alive)
        assert client.post(ASK, json={"prompt": "x"}).status_code == 200
        assert len(hosts) == 2


def test_a_home_that_cannot_be_written_is_told_without_its_path(
    fake_model: None, hosts: list[Host], own_home: Path
) -> None:
    with served(HostKey()) as client:
        (own_home / "logs").rename(own_home / "before")
        (own_home / "logs").write_text("in the way")
        os.kill(hosts[0].info.pid, signal.SIGKILL)
        eventually(lambda: not hosts[0].alive)
        answer = client.post(ASK, json={"prompt": "x"})
        assert (answer.status_code, told(answer)["code"]) == (503, "no_place")
        for path in (ASK, "/health"):
            assert str(own_home) not in client.get(path).text
        (own_home / "logs").unlink()
        assert client.post(ASK, json={"prompt": "x"}).status_code == 200


def test_answers_that_outlast_a_stop_end_with_an_error(fake_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_FOR_ERRORS", server._PATIENCE - 0.5)
    with contextlib.ExitStack() as stack:
        with served(HostKey()) as client:
            whole = stack.enter_context(asking(client, CHAT, SLOW))
            streamed = stack.enter_context(asking(client, CHAT, SLOW | {"stream": True}))
            eventually(lambda: "fastglm_open_answers 2.0" in client.get("/metrics").text)
            eventually(lambda: "fastglm_waiting_answers 0.0" in client.get("/metrics").text)
        assert (whole().status_code, told(whole())["code"]) == (503, "server_stopping")
        *_, last, rest = streamed().text.split("\n\n")
        assert rest == ""
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "server_stopping"
