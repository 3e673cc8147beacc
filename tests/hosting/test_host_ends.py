"""Ends of host processes, of their clients and of room on their disk, with the obedient model of `fake_host.py`."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hosting import TESTS_ON_PATH, eventually, fill, gone, small_disk

from fastglm.errors import (
    DiskShortError,
    HomeError,
    HostError,
)
from fastglm.hosting.host import Host
from fastglm.hosting.lease import lease
from fastglm.hosting.spawn import launched
from fastglm.hosting.worker import _told

pytestmark = pytest.mark.usefixtures("fake_launch")


def test_a_host_killed_in_mid_answer(host: Host) -> None:
    answer, other = host.ask("crash"), host.ask("slow")
    with pytest.raises(HostError) as caught:
        list(answer)
    assert str(caught.value).startswith("The process that ran demo as int4 ended (signal 9")
    assert ": ask again to start it anew. The log: " in str(caught.value)
    assert other.wait(60)
    assert (answer.state, other.state) == ("failed", "failed")
    assert answer.piece is not None
    assert answer.piece.text == "half"  # pieces so far stay
    assert not host.alive
    assert host.ask("x").state == "failed"
    with pytest.raises(HostError):
        host.memory()


def test_a_card_that_failed_ends_its_process_once_the_answers_are_told(home: Path) -> None:
    with Host.start("card", "int4", "cuda:0", "fp32", threads=1) as host:
        with pytest.raises(HostError, match=r"failed unexpectedly \(ZeroDivisionError: a bug\)"):
            list(host.ask("bug"))
        assert list(host.ask("x"))  # the card is sound
        with pytest.raises(HostError, match=r"^Answering failed unexpectedly \(RuntimeError: CUDA error: an illegal"):
            list(host.ask("fault"))
        eventually(lambda: not host.alive)
        refused = r"ended \(exit status 1: the device refuses all further work of this process\): ask again"
        with pytest.raises(HostError, match=refused):
            list(host.ask("x"))


def test_closing_fails_what_was_asked(host: Host) -> None:
    running, other = host.ask("slow"), host.ask("slow")
    eventually(lambda: running.piece)
    host.close()
    assert running.wait(60)
    assert other.wait(60)
    assert running.error == "The process that ran demo as int4 was closed: ask again to start it anew."
    assert other.state == "failed"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows cannot pause a process")
def test_pause_and_resume(host: Host) -> None:
    answer = host.ask("x", pause=0.01, count=300)
    eventually(lambda: answer.piece)
    host.pause()
    eventually(lambda: psutil.Process(host.info.pid).status() == psutil.STATUS_STOPPED)
    time.sleep(0.2)  # time for data still in the pipe
    before = answer.piece
    time.sleep(0.5)
    assert answer.piece == before
    host.resume()
    assert answer.wait(60)
    assert answer.state == "done"
    host.pause()
    eventually(lambda: psutil.Process(host.info.pid).status() == psutil.STATUS_STOPPED)
    host.close()
    assert gone(host.info.pid)


PARENT = """
import sys, time
import psutil
import fastglm.hosting.host
from hosting import LAUNCH_FAKE
fastglm.hosting.host.LAUNCH = LAUNCH_FAKE
host = fastglm.hosting.host.Host.start()
if sys.argv[1] != "nothing":
    answer = host.ask("x", pause=0.01, count=100000)
    while not answer.piece:
        time.sleep(0.01)
if sys.argv[1] == "paused":
    host.pause()
    while psutil.Process(host.info.pid).status() != psutil.STATUS_STOPPED:  # the system tells only those of the end
        time.sleep(0.01)
print(host.info.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("doing", ["nothing", "answering", "paused"])
def test_the_process_ends_with_its_parent(doing: str) -> None:
    command = [sys.executable, "-c", PARENT, doing]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | TESTS_ON_PATH) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    eventually(lambda: gone(pid))


def test_interrupting_the_terminal_does_not_reach_the_process(host: Host) -> None:
    assert os.getpgid(host.info.pid) != os.getpgid(0)
    os.kill(host.info.pid, signal.SIGINT)  # and if it does, nothing happens
    assert len(list(host.ask("x"))) == 5


def test_a_host_killed_while_its_answer_waits(host: Host) -> None:
    with lease("cpu", "a benchmark", exclusive=True):
        answer = host.ask("x")
        eventually(lambda: answer.state == "waiting")
        os.kill(host.info.pid, 9)
        assert answer.wait(60)
        assert answer.state == "failed"


def test_a_disk_that_fills_during_answers_ends_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", "size=256k,nr_inodes=64") as disk:
        monkeypatch.setenv("FASTGLM_HOME", str(disk))
        with Host.start() as host:
            assert host.ask("x").wait(60)
            begun = host.ask("slow")
            eventually(lambda: begun.piece)
            filler = fill(disk)
            begun.cancel()
            assert begun.wait(60)
            full, bug, after = host.ask("x"), host.ask("bug"), host.ask("x")
            assert all(answer.wait(60) for answer in (full, bug, after))
            assert (full.state, bug.state, after.state) == ("done", "failed", "done")
            for number in range(1000):  # until not even a name fits
                try:
                    (disk / str(number)).touch()
                except OSError:
                    break
            with pytest.raises(HomeError, match="No space left on device"):
                Host.start()
            assert host.ask("x").wait(60)
            filler.unlink()


@pytest.mark.parametrize("reply", ["cno_such_module\\nx\\n.", "garbage\\n", "(lp0\\ncos\\nno_such_name\\n."])
def test_a_reply_that_cannot_be_read_ends_the_host(reply: str) -> None:
    speaker = f"import sys; sys.stdout.buffer.write(b'{reply}'); sys.stdout.flush(); sys.stdin.read()"
    with pytest.raises(HostError, match="ended"):
        Host.start(launch=lambda log: launched(log, (sys.executable, "-c", speaker)))


def test_a_request_that_cannot_be_read_ends_the_process(host: Host) -> None:
    answer = host.ask("slow")
    eventually(lambda: answer.piece)
    host._to_process.write(b"cno_such_module\nx\n.")
    host._to_process.flush()
    assert answer.wait(60)
    assert answer.state == "failed"


def test_a_log_that_was_removed_hides_no_end(home: Path, host: Host) -> None:
    answer = host.ask("slow")
    eventually(lambda: answer.piece)
    for log in (home / "logs").iterdir():
        log.unlink()
    os.kill(host.info.pid, signal.SIGTERM)
    assert answer.wait(60)
    assert "ended" in (answer.error or "")


def test_a_process_that_cannot_be_started_is_said_and_leaves_no_log(home: Path) -> None:
    def refused(_: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    with pytest.raises(HostError, match="No process could be started"):
        Host.start(launch=refused)
    assert list((home / "logs").iterdir()) == []


def test_a_full_disk_is_told_in_a_line_though_the_log_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("traceback.print_exception", full)
    told = _told(OSError(errno.ENOSPC, "No space left on device", "/home/x/variants/y"), "Loading", "try again")
    assert isinstance(told, DiskShortError)
    assert str(told) == "Loading found no room on the disk of /home/x/variants/y: make room there."
    assert isinstance(_told(KeyError("x"), "Loading", "try again"), HostError)
