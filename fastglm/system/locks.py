"""Locks between processes: a file that one of them has locked. A lock ends with its process, however that ends."""

import contextlib
import os
from pathlib import Path
from typing import IO

import portalocker

from fastglm.errors import HomeError
from fastglm.system.home import private


def try_lock(path: Path, mode: str = "ab") -> IO[bytes] | None:
    """The open and locked file, or None while another holds it, or has just removed it. The lock goes when the file is
    closed. Only exclusive locks are used: on Windows shared ones would need one more package.

    Raises:
        OSError: it cannot be opened.
        HomeError: its disk has no locks.
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


def remove_locked(path: Path, file: IO[bytes]) -> None:
    """Removes and closes a file that this process has locked; one who opened it meanwhile finds that it is gone."""
    if os.name != "posix":
        file.close()  # no open file can be removed there
    with contextlib.suppress(OSError):
        path.unlink()
    file.close()


def lock_while_open(file: IO[bytes]) -> None:
    """Locks an open file for as long as any process that it is handed to has it open.

    Not on Windows, where no other process could write to it.
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
