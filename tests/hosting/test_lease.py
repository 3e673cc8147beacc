"""The lease on a device, across real processes."""

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hosting import TESTS_ON_PATH

from fastglm.errors import CancelledError, HomeError, ServedError, UsageError
from fastglm.hosting.lease import LENT, holder, lease, servers, serving_lease, sweep_tickets

# Takes a lease, prints that, and gives it back when its input ends; prints "waits" once during a wait.
USER = """
import sys
from fastglm.hosting.lease import lease
told = []
def on_wait(holder):
    if not told:
        print("waits for " + holder, flush=True)
    told.append(holder)
with lease("cpu", sys.argv[1], exclusive=sys.argv[2] == "exclusive", on_wait=on_wait):
    print("has it", flush=True)
    sys.stdin.read()
"""


class User:
    """A process that takes the lease."""

    def __init__(self, who: str, kind: str) -> None:
        command = [sys.executable, "-c", USER, who, kind]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True, env=os.environ | TESTS_ON_PATH)

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def users() -> Iterator[list[User]]:
    started: list[User] = []
    yield started
    for user in started:
        user.process.kill()
        user.process.wait()


def test_chats_share_and_a_benchmark_is_alone(users: list[User]) -> None:
    assert holder("cpu") is None
    users += [one := User("chat one", "shared"), two := User("chat two", "shared")]
    assert (one.line(), two.line()) == ("has it", "has it")
    assert set((holder("cpu") or "").split(", ")) == {"chat one", "chat two"}

    users += [alone := User("a benchmark", "exclusive")]
    assert alone.line().startswith("waits for ")
    one.leave()
    assert set((holder("cpu") or "").split(", ")) == {"chat two", "a benchmark"}  # which is the next
    two.leave()
    assert alone.line() == "has it"
    assert holder("cpu") == "a benchmark"

    users += [late := User("chat three", "shared"), other := User("benchmark two", "exclusive")]
    assert (late.line(), other.line()) == ("waits for a benchmark", "waits for a benchmark")
    alone.leave()
    other.process.kill()  # in whichever order they come
    assert late.line() == "has it"


def test_a_benchmark_that_waits_is_not_starved(users: list[User]) -> None:
    users += [User("a chat", "shared")]
    assert users[0].line() == "has it"
    users += [benchmark := User("a benchmark", "exclusive")]
    assert benchmark.line() == "waits for a chat"
    users += [late := User("a late chat", "shared")]
    assert late.line().startswith("waits for ")
    users[0].leave()
    assert benchmark.line() == "has it"
    benchmark.leave()
    assert late.line() == "has it"


def test_a_crash_leaves_nothing_that_blocks(users: list[User], home: Path) -> None:
    users += [User("a chat", "shared")]
    assert users[0].line() == "has it"
    users += [User("a benchmark", "exclusive")]
    assert users[1].line() == "waits for a chat"
    for user in users:
        user.process.kill()
        user.process.wait()
    assert holder("cpu") is None
    with lease("cpu", "the next", exclusive=True):
        assert holder("cpu") == "the next"
    assert [path.name for path in (home / "leases" / "cpu").iterdir()] == ["gate"]


def test_nobody_waits_for_a_server(users: list[User]) -> None:
    served = f"a server (process {os.getpid()})"
    with serving_lease("cpu", "a server", _give_up):
        assert servers("cpu") == servers("cuda:0,cpu") == served
        assert servers("cuda:0") is None
        with pytest.raises(ServedError, match=re.escape(f"{served} uses cpu")), lease("cpu", "a benchmark", True):
            pass
        users += [chat := User("a chat", "shared")]
        assert chat.line() == "has it"
        waiting = lease("cpu", "a benchmark", True, _give_up, beside=True)
        with pytest.raises(InterruptedError, match="a chat"), waiting:
            pass
        chat.leave()
        with lease("cpu", "a benchmark", True, _give_up, beside=True) as beside:
            assert beside == served
            assert holder("cpu") == "a server, a benchmark"
            users += [late := User("a late chat", "shared")]
            assert late.line() == "waits for a server, a benchmark"
        assert late.line() == "has it"
    assert servers("cpu") is None


def test_a_server_waits_for_a_benchmark_and_counts_already(users: list[User]) -> None:
    users += [benchmark := User("a benchmark", "exclusive")]
    assert benchmark.line() == "has it"
    with pytest.raises(InterruptedError, match="a benchmark"), serving_lease("cpu", "a server", _refuse_another):
        pass


def _refuse_another(holder: str) -> None:
    """Check, while a server waits, that a second benchmark is refused; then give up."""
    assert servers("cpu") == f"a server (process {os.getpid()})"
    with pytest.raises(ServedError), lease("cpu", "a second benchmark", True):
        pass
    raise InterruptedError(holder)


def test_a_server_of_several_devices_is_one() -> None:
    with serving_lease("cuda:0,cuda:1", "a server"), lease("cuda:0,cuda:1", "me", True, beside=True) as beside:
        assert beside == f"a server (process {os.getpid()})"


def test_devices_are_apart() -> None:
    with lease("cuda", "a benchmark", exclusive=True):
        assert holder("cuda:0") == "a benchmark"
        assert holder("cpu") is None
        with lease("cpu", "a chat"), lease("cuda:1", "another", exclusive=True):
            assert holder("cpu") == "a chat"
    with pytest.raises(UsageError, match="actual device"), lease("auto", "x"):
        pass


def test_a_lent_device_needs_no_lease_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with lease("cpu", "benchmark", exclusive=True), lease("cuda:0", "benchmark", exclusive=True):
        monkeypatch.setenv(LENT, "cpu")
        with lease("cpu", "its server", on_wait=_give_up):
            pass
        with pytest.raises(InterruptedError), lease("cpu,cuda:0", "its server", on_wait=_give_up):
            pass


def _give_up(holder: str) -> None:
    raise InterruptedError(holder)


def test_threads_of_one_process_share_and_exclude_too() -> None:
    entered = threading.Event()

    def benchmark() -> None:
        with lease("cpu", "a benchmark", exclusive=True):
            entered.set()

    with lease("cpu", "one"), lease("cpu", "two"):
        thread = threading.Thread(target=benchmark)
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(60)
    thread.join()
    assert holder("cpu") is None


def test_waiting_can_be_given_up() -> None:
    def give_up(_: str) -> None:
        raise CancelledError("enough")

    with lease("cpu", "a chat"):
        with pytest.raises(CancelledError), lease("cpu", "a benchmark", exclusive=True, on_wait=give_up):
            pass
        with lease("cpu", "a chat"):  # the gate is open again
            assert holder("cpu") == "a chat, a chat"


def test_several_devices_are_used_at_once() -> None:
    with lease("cuda:1,cuda:0", "a spread chat"):
        assert holder("cuda:0") == holder("cuda:1") == holder("cuda:1,cuda:2") == "a spread chat"
        assert holder("cuda:2") is None

        def give_up(who: str) -> None:
            raise CancelledError(who)

        waiting = lease("cuda:1", "a benchmark", exclusive=True, on_wait=give_up)
        with pytest.raises(CancelledError, match="a spread chat"), waiting:
            pass
    assert holder("cuda:0,cuda:1") is None


# Takes the device alone, again and again, writing a letter into a file each time, until it is killed.
LOOPER = """
import sys, time
from fastglm.hosting.lease import lease
while True:
    with lease("cpu", "a looper", exclusive=True), open(sys.argv[1], "a") as turns:
        turns.write("x")
        turns.flush()
        time.sleep(0.05)
"""


@pytest.mark.parametrize("exclusive", [False, True])
def test_users_that_take_the_lease_in_a_loop_starve_nobody(home: Path, exclusive: bool) -> None:
    turns = home / "turns"
    turns.touch()
    command = [sys.executable, "-c", LOOPER, str(turns)]
    loopers = [subprocess.Popen(command, env=os.environ | TESTS_ON_PATH) for _ in range(3)]
    before: list[int] = []  # each time it waits: turns of others from a moment when it waited to its own turn
    try:
        while turns.stat().st_size < 6 or len(before) < 10:
            seen: list[int] = []
            with lease("cpu", "a chat", exclusive, on_wait=lambda _, seen=seen: seen.append(turns.stat().st_size)):
                before += [turns.stat().st_size - seen[0]] if seen else []
    finally:
        for looper in loopers:
            looper.kill()
            looper.wait()
    assert max(before) <= 3, before  # those who were there, and no second turn of any


def test_waiting_users_are_served_in_order(users: list[User]) -> None:
    users += [first := User("first", "exclusive")]
    assert first.line() == "has it"
    waiting = []
    for number in range(4):
        users += [user := User(f"number {number}", "exclusive")]
        waiting.append(user)
        assert user.line() == "waits for first"
    waiting[1].process.kill()  # one gives up: later ones move up
    waiting[1].process.wait()
    first.leave()
    for user in (waiting[0], waiting[2], waiting[3]):
        assert user.line() == "has it"
        user.leave()
    assert holder("cpu") is None


def test_a_lease_that_fails_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> IO[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fastglm.hosting.lease.lock_new", full)
        waiting = lease("cpu", "a chat")
        with pytest.raises(HomeError, match=r"No space left on device\): make room") as caught, waiting:
            pass
    assert "\n" not in str(caught.value)
    assert [path.name for path in (home / "leases" / "cpu").iterdir()] == ["gate"]
    with lease("cpu", "the next", exclusive=True):
        pass


def test_a_name_that_finds_no_room_keeps_nobody_from_a_device(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fastglm.hosting.lease.open", full, raising=False)
    with lease("cpu", "a chat"):
        assert len(list((home / "leases" / "cpu").glob("*.lock"))) == 1
    assert [path.name for path in (home / "leases" / "cpu").iterdir()] == ["gate"]


def test_leftovers_of_crashed_processes_are_swept(users: list[User], home: Path) -> None:
    users += [User("a chat", "shared")]
    assert users[0].line() == "has it"
    users[0].process.kill()
    users[0].process.wait()
    place = home / "leases" / "cpu"
    text = place / "7-shared-1-1.txt"  # killed between two removals
    text.write_text("gone")
    os.utime(text, (0, 0))
    with lease("cpu", "another"):
        sweep_tickets()
        assert len(list(place.iterdir())) == 3
    assert [path.name for path in place.iterdir()] == ["gate"]
