"""Hosts shared by their users, with a model that does what the prompt says (`fake_host.py`)."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from hosting import FAKE, eventually, gone

from fastglm.errors import CancelledError, CheckpointError, FastGLMError, HostError
from fastglm.hosting.host import Host
from fastglm.hosting.pool import Pool
from fastglm.hosting.protocol import HostKey
from fastglm.progress.progress import Progress


@pytest.fixture
def pool(fake_launch: None) -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


class Getter(threading.Thread):
    """A user who gets a host in a separate thread."""

    def __init__(self, pool: Pool, model: str, user: str) -> None:
        super().__init__()
        self.pool, self.model, self.user = pool, model, user
        self.progress: list[Progress] = []
        self.host: Host | None = None
        self.error: FastGLMError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.host = self.pool.get(HostKey(self.model), self.user, progress=self.progress.append)
        except FastGLMError as error:
            self.error = error


def processes() -> int:
    found = 0
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # or a zombie, which another test has left
            found += str(FAKE) in child.cmdline()
    return found


def test_users_share_a_host_and_the_last_frees_it(pool: Pool) -> None:
    one, two = Getter(pool, "demo", "one"), Getter(pool, "demo", "two")
    one.join()
    two.join()
    host = one.host
    assert host is not None
    assert host is two.host
    assert processes() == 1
    assert pool.get(HostKey(), "one") is host  # a user who comes twice counts once
    assert pool.users() == {host.key: {"one", "two"}}
    pool.release(host.key, "one")
    pool.release(host.key, "one")
    pool.release(HostKey("other"), "one")
    assert host.alive
    assert len(list(host.ask("x"))) == 5
    pool.release_all("two")
    assert gone(host.info.pid)
    assert pool.users() == {}


def test_a_dead_host_is_replaced_on_the_next_get(pool: Pool) -> None:
    host = pool.get(HostKey(), "one")
    assert pool.get(HostKey(), "two") is host
    answer = host.ask("crash")
    assert answer.wait(60)
    assert answer.state == "failed"
    fresh = pool.get(HostKey(), "two")
    assert fresh is not host
    assert pool.users() == {fresh.key: {"one", "two"}}
    assert len(list(fresh.ask("x"))) == 5
    assert pool.get(HostKey(), "one") is fresh
    pool.release(fresh.key, "two")
    assert fresh.alive  # its other user still has it
    pool.close()
    assert gone(fresh.info.pid)


def test_a_failed_load_tells_everyone_and_can_be_tried_again(pool: Pool) -> None:
    one, two = Getter(pool, "missing", "one"), Getter(pool, "missing", "two")
    one.join()
    two.join()
    assert type(one.error) is type(two.error) is CheckpointError
    with pytest.raises(CheckpointError):
        pool.get(HostKey("missing"), "one")
    assert processes() == 0
    assert pool.users() == {}


def test_loading_ends_when_its_users_leave(pool: Pool) -> None:
    one, two = Getter(pool, "slow", "one"), Getter(pool, "slow", "two")
    eventually(lambda: any(p.stage == "slow" for p in one.progress) and any(p.stage == "slow" for p in two.progress))
    pool.release_all("one")
    assert two.is_alive()
    assert processes() == 1
    pool.release_all("two")
    one.join()
    two.join()
    assert type(one.error) is type(two.error) is CancelledError
    assert processes() == 0


def test_a_progress_callback_that_raises_leaves_the_loading_alone(pool: Pool) -> None:
    class RerunError(Exception):
        """The error of a page that is run again."""

    def leave(_: Progress) -> None:
        raise RerunError

    with pytest.raises(RerunError):
        pool.get(HostKey("slow"), "one", progress=leave)
    again = Getter(pool, "slow", "one")
    eventually(lambda: again.progress)
    assert processes() == 1
    pool.release_all("one")
    again.join()


def test_nobody_waits_for_ever_whatever_ends_a_load(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Host, "load", broken)
        getter = Getter(pool, "demo", "one")
        getter.join(60)
    assert isinstance(getter.error, HostError)
    assert "can't start new thread" in str(getter.error)
    assert pool.users() == {}
    assert pool.get(HostKey("demo"), "one").alive


def test_another_adapter_has_another_host(pool: Pool) -> None:
    tuned = pool.get(HostKey(adapter="/a/prefix"), "one")
    assert tuned.info.adapter == "/a/prefix"
    assert pool.get(HostKey(), "two") is not tuned
