"""Compilers end with the process that waits for them, however this process ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hosting import TESTS_ON_PATH, eventually

from fastglm.system.watched import watched

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no process groups")

# Like a compiler, starts a child that writes into the folder, and waits for it.
COMPILER = ["sh", "-c", "sh -c 'echo x > $TMPDIR/half; sleep 300; true' & echo 'error: none' >&2; wait"]
WAITS = f"""
import signal, sys, time
from pathlib import Path
from fastglm.system.watched import watched
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in the background
with watched(Path(sys.argv[1]), {COMPILER!r}):
    print("waits", flush=True)
    time.sleep(300)
"""


def at_work(folder: Path) -> list[psutil.Process]:
    """The processes whose command names a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "x.so.abc.part"
    work.mkdir()
    return work


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_ends_takes_its_compilers_along(folder: Path, number: int) -> None:
    command = [sys.executable, "-c", WAITS, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | TESTS_ON_PATH
    ) as waits:
        assert waits.stdout
        assert waits.stdout.readline() == "waits\n"
        eventually((folder / "half").exists)
        assert len(at_work(folder)) >= 3
        waits.send_signal(number)
    eventually(lambda: not at_work(folder), 10)
    eventually(lambda: not folder.exists(), 10)


def test_a_caller_that_stops_waiting_ends_the_compilers(folder: Path) -> None:
    def wait() -> None:
        with watched(folder, COMPILER):
            eventually((folder / "half").exists)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert not at_work(folder)
    assert not folder.exists()


@pytest.mark.parametrize("status", [0, 3])
def test_the_status_and_the_words_of_a_command_that_ends_are_passed_on(folder: Path, status: int) -> None:
    with watched(folder, ["sh", "-c", f"echo 'error: none' >&2; exit {status}"]) as process:
        assert process.stderr
        assert process.stderr.read() == b"error: none\n"
        assert process.wait() == status
    assert folder.exists()
