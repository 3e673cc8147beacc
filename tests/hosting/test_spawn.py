"""Host processes that are forked from a server with imported libraries (Linux only: elsewhere they start from
scratch).
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from hosting import TESTS_ON_PATH, eventually, gone

from fastglm.errors import HostError
from fastglm.hosting import spawn
from fastglm.hosting.host import Host
from fastglm.hosting.spawn import forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere host processes are not forked")


def server_of(host: Host) -> psutil.Process:
    parent = psutil.Process(host.info.pid).parent()
    assert parent is not None
    return parent


def test_hosts_of_one_server_are_processes_of_their_own() -> None:
    with Host.start("demo", "fast", "cpu") as one, Host.start("demo", "original", "cpu") as other:
        assert one.info.pid != other.info.pid
        assert server_of(one) == server_of(other)
        assert server_of(one).pid not in (os.getpid(), one.info.pid)
        assert os.getpgid(one.info.pid) == one.info.pid
        told = [list(host.ask("What is 12 + 34?", do_sample=False))[-1].text for host in (one, other)]
    assert told[0] == told[1] != ""
    eventually(lambda: gone(one.info.pid) and gone(other.info.pid))


def test_a_host_that_is_killed_says_by_what_and_takes_no_other_along() -> None:
    with Host.start("demo", "fast", "cpu") as one, Host.start("demo", "fast", "cpu") as other:
        os.kill(one.info.pid, signal.SIGTERM)
        eventually(lambda: not one.alive)
        with pytest.raises(HostError, match="ended \\(signal 15\\)"):
            list(one.ask("hello"))
        assert len(list(other.ask("hello", max_new_tokens=4))) == 4
        assert not psutil.pid_exists(one.info.pid)  # reaped


def test_a_server_that_was_killed_is_begun_again() -> None:
    with Host.start("demo", "fast", "cpu") as before:
        server = server_of(before)
        server.kill()
        eventually(lambda: gone(server.pid))
        assert len(list(before.ask("hello", max_new_tokens=4))) == 4
        with Host.start("demo", "fast", "cpu") as after:
            assert server_of(after) != server
            assert len(list(after.ask("hello", max_new_tokens=4))) == 4
    eventually(lambda: gone(before.info.pid))
    assert not before.alive


def test_a_reply_that_nobody_waited_for_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    Host.start("demo", "fast", "cpu").close()
    with monkeypatch.context() as patched:
        patched.setattr(spawn.pickle, "loads", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), tempfile.TemporaryFile() as log:
            forked(log)
    with Host.start("demo", "fast", "cpu") as host:
        assert server_of(host).pid not in (os.getpid(), host.info.pid)
        assert len(list(host.ask("hello", max_new_tokens=4))) == 4


def environment(_model: object, _tokenizer: object, progress: object) -> tuple[str | None, str]:
    return os.environ.get("FASTGLM_HOME"), os.getcwd()


def test_a_host_has_the_environment_and_the_folder_of_its_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Host.start("demo", "fast", "cpu").close()  # so that the server is from before
    (tmp_path / "moved").mkdir()
    monkeypatch.chdir(tmp_path / "moved")
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "moved"))
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    with Host.start("demo", "fast", "cpu") as host:
        assert host.apply(environment) == (str(tmp_path / "moved"), str(tmp_path / "moved"))


def test_a_process_is_begun_anew_where_there_can_be_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_log: object) -> None:
        raise EOFError

    monkeypatch.setattr(spawn, "_server", broken)
    with tempfile.TemporaryFile() as log:
        process = forked(log)
    assert isinstance(process, subprocess.Popen)
    process.kill()
    process.communicate()


def test_the_server_ends_with_the_process_that_began_it() -> None:
    program = """
import time
from fastglm.hosting.host import Host
host = Host.start("demo", "fast", "cpu")
host.pause()
print(host.info.pid, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | TESTS_ON_PATH) as client:
        assert client.stdout
        pid = int(client.stdout.readline())
        server = psutil.Process(pid).parent()
        client.kill()
    assert server
    eventually(lambda: gone(pid) and gone(server.pid))


def test_a_start_after_the_first_takes_no_imports() -> None:
    """A ratio: importing takes 20 times as long as forking."""
    Host.start("demo", "fast", "cpu").close()
    began = time.perf_counter()
    Host.start("demo", "fast", "cpu").close()
    quick, began = time.perf_counter() - began, time.perf_counter()
    subprocess.run([sys.executable, "-c", "import fastglm; fastglm.load"], check=True, env=os.environ | TESTS_ON_PATH)
    assert quick < time.perf_counter() - began
