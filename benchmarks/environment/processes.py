"""Processes of this machine, told apart from later ones that got the same number."""

import os
import signal
import sys
import time
from contextlib import suppress

import psutil

GRACE = 15.0  # seconds from an interrupt to the end by force


def identity(pid: int) -> str:
    """The process as text, which `find` understands in any process until the machine starts anew.

    Raises `psutil.NoSuchProcess`.
    """
    return f"{pid} {_born(psutil.Process(pid)):.2f}"


def find(identity: str | None) -> psutil.Process | None:
    """The process, while it runs."""
    if identity is None:
        return None
    pid, born = identity.split()
    try:
        process = psutil.Process(int(pid))
        return process if abs(_born(process) - float(born)) < 0.05 and _alive(process) else None
    except psutil.Error:
        return None


def interrupt(process: psutil.Process) -> None:
    """Ask it to stop cleanly."""
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            os.kill(process.pid, signal.CTRL_BREAK_EVENT)
        else:
            process.send_signal(signal.SIGINT)


def kill(process: psutil.Process) -> None:
    """End it by force, and those it started."""
    with suppress(psutil.Error):
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.Error):
                each.kill()


def stop(process: psutil.Process) -> None:
    """Interrupt it, wait for its end, and where that takes longer than `GRACE`, end it by force."""
    interrupt(process)
    until = time.monotonic() + GRACE
    while _alive(process):
        if time.monotonic() > until:
            kill(process)
        time.sleep(0.05)


def _alive(process: psutil.Process) -> bool:
    """Also where nobody asks how it ended, as in a container without an init: `wait` would wait for that."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _born(process: psutil.Process) -> float:
    """In seconds; on Linux since the machine started, because the clock may be set while a process runs."""
    return process.create_time() - (psutil.boot_time() if psutil.LINUX else 0.0)
