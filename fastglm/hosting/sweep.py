"""Remove files in the home that killed processes and older versions left, at the next start."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fastglm.hosting.lease import sweep_tickets
from fastglm.system.home import home
from fastglm.system.locks import remove_locked, try_lock
from fastglm.system.making import sweep_parts

MADE = ("variants/*", "kernels", "steps", "models", "models/*.work")  # folders where results are made
PARTIAL = (
    "kernels.json.*",
    "references/*.partial",
    "conversations/*.part*",
    "servers/*.partial",
    "models/*.work/*.partial",
)  # files
OLD_WORK = ("kernels/tmp*", "steps/tmp*")  # working folders of compilers, from versions without locks
FORSAKEN = 3600.0  # seconds without change, after which such a folder has no owner
LOGS = 20  # newest logs of failed hosts that are kept
LOG_KEPT = 30 * 24 * 3600.0  # seconds


def sweep() -> None:
    """Sweep the home, once per process. Files in use stay, and so do files that cannot be removed."""
    if (top := home()).is_dir():
        _sweep(top)


@cache
def _sweep(top: Path) -> None:
    with contextlib.suppress(OSError):
        sweep_tickets()
        for pattern in MADE:
            for place in top.glob(pattern):
                sweep_parts(place)
        for pattern in PARTIAL:
            for file in _forsaken(top, pattern):
                file.unlink(missing_ok=True)
        for pattern in OLD_WORK:
            for folder in _forsaken(top, pattern):
                shutil.rmtree(folder, ignore_errors=True)
        _sweep_locks(top / "leases")
        _sweep_logs(top / "logs")


def _forsaken(top: Path, pattern: str) -> Iterator[Path]:
    for path in top.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > FORSAKEN:
                yield path


def _sweep_locks(leases: Path) -> None:
    """Remove the locks and notes of processes that were killed."""
    for path in leases.glob("*.making"):
        with contextlib.suppress(OSError):
            if (lock := try_lock(path, "rb+")) is not None:
                path.with_suffix(".news").unlink(missing_ok=True)
                remove_locked(path, lock)
    for path in leases.glob("*.news"):
        with contextlib.suppress(OSError):
            if not path.with_suffix(".making").exists():
                path.unlink()


def _sweep_logs(logs: Path) -> None:
    """Remove logs of hosts: empty ones, all but the newest, and old ones."""
    ended = [path for path in sorted(logs.glob("host-*.log"), reverse=True) if not _is_written(path)]  # newest first
    told = 0
    for path in ended:
        with contextlib.suppress(OSError):  # on Windows: its host still runs
            found = path.stat()
            told += found.st_size > 0
            if not found.st_size or told > LOGS or time.time() - found.st_mtime > LOG_KEPT:
                path.unlink()


def _is_written(log: Path) -> bool:
    """Tell whether a host still writes its log; the host keeps the log locked (not on Windows, where a lock would stop
    its writing).
    """
    if os.name != "posix":
        return False
    try:
        lock = try_lock(log, "rb+")
    except OSError:
        return True
    if lock is not None:
        lock.close()
    return lock is None
