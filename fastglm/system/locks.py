"""File locks between processes. A lock ends with its process, however the process ends."""

import contextlib
import os
import time
from pathlib import Path
from typing import IO

import portalocker

from fastglm.errors import HomeError
from fastglm.system.home import private


def try_lock(path: Path, mode: str = "ab") -> IO[bytes] | None:
    """Open and lock a file. Returns None if another process holds the lock, or has just removed the file. Closing the
    file frees the lock.

    Locks are exclusive: shared ones would need one more package on Windows.

    Raises:
        OSError: the file cannot be opened.
        HomeError: the disk of the file has no locks.
    """
    file: IO[bytes] = open(path, mode, opener=private)  # noqa: SIM115  # open as long as it is locked
    try:
        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except portalocker.AlreadyLocked:
        file.close()
        return None
    except portalocker.LockException as error:
        file.close()
        raise HomeError(f"{path.parent} lies on a disk without locks ({error}): name another FASTGLM_HOME.") from error
    if not _is_there(path, file):
        file.close()
        return None
    return file


def lock_new(path: Path) -> IO[bytes]:
    """Make a file and lock it; another process that tests the lock at this moment only delays it."""
    while (lock := try_lock(path)) is None:
        time.sleep(0.001)
    return lock


def remove_locked(path: Path, file: IO[bytes]) -> None:
    """Remove and close a file that this process has locked; a process that opened it meanwhile finds it gone."""
    if os.name != "posix":
        file.close()  # Windows removes no open file
    with contextlib.suppress(OSError):
        path.unlink()
    file.close()


def lock_while_open(file: IO[bytes]) -> None:
    """Lock an open file as long as any process that inherits it has it open.

    Does nothing on Windows, where no other process could write to a locked file.
    """
    if os.name == "posix":
        with contextlib.suppress(portalocker.LockException):  # a disk without locks
            portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)


def _is_there(path: Path, file: IO[bytes]) -> bool:
    """Tell whether an open file still has its name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
