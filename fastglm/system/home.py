"""The folder of compressed variants, results and logs: `FASTGLM_HOME`, or the platform's user data folder.

The home and everything in it are for their owner alone, unless its folder is shared with a group.
"""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fastglm.errors import HomeError

log = logging.getLogger(__name__)

_FOLDER, _FILE = 0o700, 0o600  # modes of files and folders that only their owner may use


def home() -> Path:
    """The folder that holds everything this package writes; it is not created here.

    Raises:
        HomeError: its name cannot name a folder.
    """
    if chosen := os.environ.get("FASTGLM_HOME"):
        try:
            return Path(chosen).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:  # an unknown user, or a link to itself
            raise _unusable(chosen, error) from error
    from platformdirs import (
        user_data_path,
    )  # imported late: not needed, and often not installed, where FASTGLM_HOME is set

    return user_data_path("fastglm", appauthor=False)


def folder(name: str) -> Path:
    """`home()/name`, created if needed. Raises HomeError if it cannot be created."""
    top = home()
    path = top / name
    with writing():
        _make(top)
        for each in (*reversed(path.parents[: len(path.relative_to(top).parts) - 1]), path):
            make_private(each)
    return path


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """A block that writes into the home. Turns an OSError in it (read-only, full, no folder) into HomeError."""
    try:
        yield
    except OSError as error:
        raise _unusable(home(), error) from error


def make_private(path: Path) -> None:
    """Create a folder whose parent exists; in a private home it is for its owner alone."""
    try:
        path.mkdir(mode=_FOLDER if _is_private(path) else 0o777)
    except FileExistsError:
        if not path.is_dir():
            raise


def make_parents(path: Path) -> None:
    """Create the parent folders of a path; in a private home they are for their owner alone."""
    for parent in reversed(path.absolute().parents):
        if not parent.is_dir():
            make_private(parent)


def private(path: str | os.PathLike[str], flags: int) -> int:
    """An opener for `open(…, opener=private)`: a new file in the home is for its owner alone."""
    return os.open(path, flags, _FILE if _is_private(Path(path)) else 0o666)


def protect(path: Path) -> None:
    """Give a file, or a folder with all its contents, to its owner alone if it lies in a private home."""
    if _is_private(path):
        _close(path)


def _make(top: Path) -> None:
    """Create the home. A home made by others, or by an older version of this package, is checked once."""
    if not top.is_dir():
        top.parent.mkdir(parents=True, exist_ok=True)
        top.mkdir(mode=_FOLDER, exist_ok=True)
    _tighten(top)


def _is_private(path: Path) -> bool:
    """Tell whether a path lies in a home that is its owner's alone."""
    top = home()
    return path.absolute().is_relative_to(top) and top.is_dir() and _tighten(top)


@cache
def _tighten(top: Path) -> bool:
    """Close a home to everybody but its owner. Returns False if the home is shared, and leaves it as it is."""
    if os.name != "posix":
        return False
    found = top.stat()
    group, others = found.st_mode >> 3 & 0o7, found.st_mode & 0o7
    if found.st_uid != os.geteuid() or (group & ~others and not _is_own_group(found.st_gid)):
        log.warning(
            "%s is shared (%s): what is kept there can be read by others. For you alone: chmod -R go= %s",
            *(top, stat.filemode(found.st_mode), top),
        )
        return False
    if stat.S_IMODE(found.st_mode) != _FOLDER:
        for path in top.iterdir():
            _close(path, deep=path.name != "models")  # places where users put folders of their own
        top.chmod(_FOLDER)  # last, so that an interrupted run starts again
    return True


def _close(path: Path, deep: bool = True) -> None:
    """Take a file or a folder from everybody but its owner."""
    with contextlib.suppress(OSError):  # already removed, or owned by somebody else
        if path.is_symlink():
            return
        if not path.is_dir():
            path.chmod(_FILE)
            return
        path.chmod(_FOLDER)
        for each in path.iterdir() if deep else ():
            _close(each)


def _is_own_group(number: int) -> bool:
    """Tell whether a group has this user alone: many systems give every user such a group."""
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(number), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _unusable(path: str | Path, error: Exception) -> HomeError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    advice = "name a folder that you may write to"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "make room on its disk, or name another folder"
    elif isinstance(error, FileExistsError | NotADirectoryError):
        why = "it is not a folder, or lies in what is none"
    return HomeError(f"FASTGLM_HOME, {str(path)[:200]}, cannot be used ({why}): {advice}.")
