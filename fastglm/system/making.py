"""Files and folders that several processes may want to make at once: one makes, the others wait and see how it goes.

What is made is there whole or not at all: it is made in a folder beside its place, written to the disk, and moved. A
process that is killed leaves such a folder behind, which the next one sweeps away.
"""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from fastglm.errors import UsageError
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system.home import folder, private, protect, writing
from fastglm.system.locks import remove_locked, try_lock

PART = ".part"  # ends the names of folders that things are made in
_LOCK = ".lock"  # in such a folder, held by its maker
_LOOK = 0.05  # seconds between two looks at what another makes
_TELL = 0.2  # seconds between two notes of how it goes
_FORSAKEN = 3600.0  # seconds after which a folder without a lock is nobody's


def made_once(
    path: Path, is_whole: Callable[[], bool], make: Callable[[OnProgress], None], progress: OnProgress | None = None
) -> None:
    """Has `path` made, unless it is whole already: by this process, or by another that is at it.

    Args:
        is_whole: whether `path` is there and can be used. Asked again after each wait.
        make: makes `path`, in place of one that is broken.
        progress: told how it goes, whoever makes it; an exception from it ends the making, or the wait.
    """
    while not is_whole():
        lock = _lock_of(path)
        file = _try(lock)
        if file is None:
            _watch(lock, progress)
            continue
        try:
            if not is_whole():
                make(_telling(lock, progress))
        finally:
            _leave(lock, file)
        return


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Make `path` in the block, and nobody else meanwhile. Raises UsageError where another process is at it."""
    lock = _lock_of(path)
    file = _try(lock)
    if file is None:
        raise UsageError(f"{path} is being made by another process now: wait for its end, or name another folder.")
    try:
        yield
    finally:
        _leave(lock, file)


@contextlib.contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, to make it in and `put` it from; gone at the end of the block.

    Those that killed processes left there are removed.
    """
    sweep_parts(path.parent, path.name)
    _sweep_old_part(path)
    while True:
        part = Path(tempfile.mkdtemp(PART, f"{path.name}.", path.parent))
        if (lock := try_lock(part / _LOCK)) is not None:  # else it was taken for one that is left
            break
    try:
        yield part
    finally:
        _remove_part(part, lock)


def put(made: Path, path: Path) -> None:
    """Moves a file or a folder that is complete to its place, whole even if the machine loses power.

    A file takes the place of one that is there. Raises OSError where a folder is there.
    """
    protect(made)
    for each in (*made.rglob("*"), made):
        _write_through(each)
    made.replace(path)
    _write_through(path.parent)


def sweep_parts(place: Path, name: str | None = None) -> None:
    """Removes what processes that are no more have left in `place` of the making of `name`, or of anything."""
    for part in place.glob(f"{glob.escape(name) if name else '*'}.*{PART}"):
        with contextlib.suppress(OSError):
            if (part / _LOCK).exists():
                if (lock := try_lock(part / _LOCK, "rb+")) is not None:
                    _remove_part(part, lock)
            elif time.time() - part.stat().st_mtime > _FORSAKEN:
                part.rmdir()  # killed before it had its lock


def _sweep_old_part(path: Path) -> None:
    """Versions before this one made everything in a folder of this name, without a lock."""
    old = path.with_name(path.name + PART)
    with contextlib.suppress(OSError):
        if time.time() - old.stat().st_mtime > _FORSAKEN:
            shutil.rmtree(old, ignore_errors=True)


def _remove_part(part: Path, lock: IO[bytes]) -> None:
    """The lock is the last to go: what is left of a folder whose removal was stopped is swept too."""
    with contextlib.suppress(FileNotFoundError):  # removed already by what watched a compiler
        for each in part.iterdir():
            if each.name != _LOCK:
                shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink(missing_ok=True)
    remove_locked(part / _LOCK, lock)
    shutil.rmtree(part, ignore_errors=True)


def _lock_of(path: Path) -> Path:
    """In the home, so that there is nothing beside a path that is not made."""
    name = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return folder("leases") / f"{name}.making"


def _try(lock: Path) -> IO[bytes] | None:
    with writing():
        return try_lock(lock)


def _leave(lock: Path, file: IO[bytes]) -> None:
    """Removes the lock, and the news of whoever made it last."""
    with contextlib.suppress(OSError):
        _news_of(lock).unlink(missing_ok=True)
    remove_locked(lock, file)


def _news_of(lock: Path) -> Path:
    return lock.with_suffix(".news")


def _telling(lock: Path, progress: OnProgress | None) -> OnProgress:
    """Tells `progress`, and those who wait, of whom nothing is known."""
    told = float("-inf")

    def tell(now: Progress) -> None:
        nonlocal told
        if progress:
            progress(now)
        if time.monotonic() - told > _TELL:
            told = time.monotonic()
            with contextlib.suppress(OSError), open(_news_of(lock), "w", encoding="utf-8", opener=private) as file:
                json.dump(asdict(now), file)

    return tell


def _watch(lock: Path, progress: OnProgress | None) -> None:
    """Waits until the maker is through, or gone."""
    while (file := _try(lock)) is None:
        if progress and (now := _read_news(lock)):
            progress(now)
        time.sleep(_LOOK)
    _leave(lock, file)


def _read_news(lock: Path) -> Progress | None:
    try:
        return Progress(**json.loads(_news_of(lock).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # half written, or none yet
        return None


def _write_through(path: Path) -> None:
    """Has the system write a file, or a folder's list, to the disk."""
    if os.name != "posix" or path.is_symlink():
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
