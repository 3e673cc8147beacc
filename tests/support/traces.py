"""Traces of killed processes: processes that still run for a home, and files that they left in it."""

import os
import time
from pathlib import Path

import psutil

MINUTE = 60.0


def running(home: Path) -> list[psutil.Process]:
    """The processes that were started for a home, except this one: all of them inherit its name."""
    found = []
    for process in psutil.process_iter():
        try:
            own = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
            if own and process.environ().get("FASTGLM_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def check_nothing_runs(home: Path, told: str) -> None:
    """Fail if a process still runs after a minute."""
    until = time.monotonic() + MINUTE
    while left := running(home):
        assert time.monotonic() < until, f"{told}: {[' '.join(process.cmdline())[:200] for process in left]} still run"
        time.sleep(0.1)


def check_nothing_is_left(home: Path, told: str) -> None:
    """Fail if a start did not sweep half-made files, or a lock, a ticket or an empty log of a dead process."""
    names = ("*.part", "*.partial", "*.making", "*.news")
    left = [path for name in names for path in home.rglob(name)]
    left += [path for path in home.glob("leases/*/*") if path.name != "gate"]
    left += [path for path in home.glob("logs/host-*") if not path.stat().st_size]
    left += list(home.glob("models/*.work"))
    assert not left, f"{told}: {[str(path.relative_to(home)) for path in left]} are left"
