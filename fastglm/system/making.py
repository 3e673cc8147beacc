"""Files and folders that several processes may need at once: one process makes them, the others wait for it.

A result is complete or absent: it is made in a folder beside its place, written to the disk, then moved. A killed
process leaves such a folder behind; the next process removes it.
"""

import contextlib
import glob
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from fastglm.errors import UsageError
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system.home import folder, private, writing
from fastglm.system.locks import remove_locked, try_lock

PART = ".part"  # end of the names of the folders where results are made
_LOCK = ".lock"  # a lock in such a folder, held by the process that works there
_LOOK = 0.05  # seconds between two looks at another process's work
_TELL = 0.2  # seconds between two notes about the progress
_FORSAKEN = 3600.0  # seconds without a lock, after which a folder has no owner


def made_once(
    path: Path, is_whole: Callable[[], bool], make: Callable[[OnProgress], None], progress: OnProgress | None = None
) -> None:
    """Make `path` unless it is complete already; if another process is making it, wait for that process.

    Args:
        is_whole: tells whether `path` exists and can be used. Asked again after each wait.
        make: makes `path`, in place of a broken one.
        progress: called with the progress, whichever process works; an exception from it ends the work or the wait.
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
    """A block that makes `path` while no other process may. Raises UsageError if another process is making it."""
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
    """A new folder beside `path`: make the result in it, then `put` it in place. The folder is removed at the end of
    the block.

    Folders that killed processes left there are removed first.
    """
    sweep_parts(path.parent, path.name)
    _sweep_old_part(path)
    while True:
        part = Path(tempfile.mkdtemp(PART, f"{path.name}.", path.parent))
        if (lock := try_lock(part / _LOCK)) is not None:  # before this, the folder would look abandoned
            break
    try:
        yield part
    finally:
        _remove_part(part, lock)


def sweep_parts(place: Path, name: str | None = None) -> None:
    """Remove folders that ended processes left in `place` while making `name`, or while making anything."""
    for part in place.glob(f"{glob.escape(name) if name else '*'}.*{PART}"):
        with contextlib.suppress(OSError):
            if (part / _LOCK).exists():
                if (lock := try_lock(part / _LOCK, "rb+")) is not None:
                    _remove_part(part, lock)
            elif time.time() - part.stat().st_mtime > _FORSAKEN:
                part.rmdir()  # its process was killed before it had the lock


def _sweep_old_part(path: Path) -> None:
    """Remove the working folder of an older version, which used one name without a lock."""
    old = path.with_name(path.name + PART)
    with contextlib.suppress(OSError):
        if time.time() - old.stat().st_mtime > _FORSAKEN:
            shutil.rmtree(old, ignore_errors=True)


def _remove_part(part: Path, lock: IO[bytes]) -> None:
    """Remove a working folder, its lock last, so that an interrupted removal is completed later."""
    with contextlib.suppress(FileNotFoundError):  # removed already by the process that watched a compiler
        for each in part.iterdir():
            if each.name != _LOCK:
                shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink(missing_ok=True)
    remove_locked(part / _LOCK, lock)
    shutil.rmtree(part, ignore_errors=True)


def _lock_of(path: Path) -> Path:
    """The lock of a path. It lies in the home, so that nothing appears beside a path that is never made."""
    name = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return folder("leases") / f"{name}.making"


def _try(lock: Path) -> IO[bytes] | None:
    with writing():
        return try_lock(lock)


def _leave(lock: Path, file: IO[bytes]) -> None:
    """Remove a lock and the last progress note of its holder."""
    with contextlib.suppress(OSError):
        _news_of(lock).unlink(missing_ok=True)
    remove_locked(lock, file)


def _news_of(lock: Path) -> Path:
    return lock.with_suffix(".news")


def _telling(lock: Path, progress: OnProgress | None) -> OnProgress:
    """A progress function that also writes notes for the waiting processes, which are not known here."""
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
    """Wait until the process that holds the lock has finished or died, and pass its progress on."""
    while (file := _try(lock)) is None:
        if progress and (now := _read_news(lock)):
            progress(now)
        time.sleep(_LOOK)
    _leave(lock, file)


def _read_news(lock: Path) -> Progress | None:
    try:
        return Progress(**json.loads(_news_of(lock).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # half written, or missing so far
        return None
