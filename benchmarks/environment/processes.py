"""Processes of this machine, distinguished from later ones with the same number."""

import os
import signal
import sys
import time
from contextlib import suppress

import psutil

GRACE = 15.0  # seconds from an interrupt to a kill


def identity(pid: int) -> str:
    """Describe a process as text, which `find` understands in any process until the machine restarts.

    Raises `psutil.NoSuchProcess`.
    """
    return f"{pid} {_born(psutil.Process(pid)):.2f}"


def find(identity: str | None) -> psutil.Process | None:
    """Find a process by its identity; None once it has ended."""
    if identity is None:
        return None
    pid, born = identity.split()
    try:
        process = psutil.Process(int(pid))
        return process if abs(_born(process) - float(born)) < 0.05 and _alive(process) else None
    except psutil.Error:
        return None


def interrupt(process: psutil.Process) -> None:
    """Ask a process to stop cleanly."""
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            os.kill(process.pid, signal.CTRL_BREAK_EVENT)
        else:
            process.send_signal(signal.SIGINT)


def kill(process: psutil.Process) -> None:
    """Kill a process and its children."""
    with suppress(psutil.Error):
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.Error):
                each.kill()


def stop(process: psutil.Process) -> None:
    """Interrupt a process and wait for its end; kill it after `GRACE` seconds."""
    interrupt(process)
    until = time.monotonic() + GRACE
    while _alive(process):
        if time.monotonic() > until:
            kill(process)
        time.sleep(0.05)


def _alive(process: psutil.Process) -> bool:
    """Tell whether a process runs. An ended process that no parent waits for, as in a container without an init, does
    not run.
    """
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _born(process: psutil.Process) -> float:
    """Start time in seconds; on Linux since the machine started, because the clock may be set while a process runs."""
    return process.create_time() - (psutil.boot_time() if psutil.LINUX else 0.0)
