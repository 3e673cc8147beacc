"""Who uses a device: many chats at once, or one benchmark alone, across processes; and who makes a folder.

A folder a device holds a `gate` and one locked note a holder. Whoever comes locks the gate; a chat then leaves its note
and opens the gate again, a benchmark keeps it shut and waits until the last chat's note is unlocked. So a benchmark
that waits lets nobody pass. Locks end with the process that took them: a crash leaves nothing that blocks.
Only exclusive locks are used: on Windows shared ones would need one more package.
"""

import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import portalocker

from fastglm.errors import UsageError
from fastglm.home import folder

OnWait = Callable[[str], None]

_serial = itertools.count()
_LONGEST_PAUSE = 0.05  # seconds between two looks at a lock
_NEWS_AFTER = 0.02  # seconds of waiting that are not worth telling


@contextlib.contextmanager
def lease(device: str, who: str, exclusive: bool = False, on_wait: OnWait | None = None) -> Iterator[None]:
    """Use `device` ("cpu", "cuda:0,cuda:1") inside the block: together with others, or alone when `exclusive`.

    While it waits, `on_wait` is called many times a second with a text that says who uses the device;
    an exception from it ends the wait. `who` is the text that others see.
    Raises UsageError for "auto": only an actual device can be leased.
    """
    with contextlib.ExitStack() as held:
        # In one order, so that two who want the same do not each wait for what the other has.
        for one in sorted(set(device.split(","))):
            held.enter_context(_lease(_place(one), who, exclusive, on_wait))
        yield


@contextlib.contextmanager
def _lease(place: Path, who: str, exclusive: bool, on_wait: OnWait | None) -> Iterator[None]:
    """Of a single device."""
    waiting = _Waiting(place, on_wait)
    with contextlib.ExitStack() as held:
        while (gate := try_lock(place / "gate", "ab")) is None:
            waiting.pause()
        held.callback(gate.close)
        waiting.own = held.enter_context(_note(place, who))
        if exclusive:
            while _others(place, waiting.own):
                waiting.pause()
        else:
            gate.close()
        yield


def holder(device: str) -> str | None:
    """Who uses `device` now, or is the next to have it alone; None when it is free."""
    return _names([note for one in device.split(",") for note in _locked_notes(_place(one))])


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Make `path` in the block, and nobody else meanwhile. Raises UsageError where another process is at it.

    The lock lies in the home, so that there is nothing beside a path that is not made.
    """
    name = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    lock = try_lock(folder("leases") / f"{name}.making", "ab")
    if lock is None:
        raise UsageError(f"{path} is being made by another process now: wait for its end, or name another folder.")
    with lock:
        yield


class _Waiting:
    """Pauses between two looks, ever longer, and tells `on_wait` whom one waits for."""

    def __init__(self, place: Path, on_wait: OnWait | None) -> None:
        self.place = place
        self.on_wait = on_wait
        self.own: Path | None = None  # one's own note, once there is one
        self.since = time.monotonic()

    def pause(self) -> None:
        waited = time.monotonic() - self.since
        if self.on_wait and waited > _NEWS_AFTER:
            others = [note for note in _locked_notes(self.place) if note != self.own]
            self.on_wait(_names(others) or "another process")
        time.sleep(min(0.001 + waited / 4, _LONGEST_PAUSE))


def _place(device: str) -> Path:
    """The folder of a device's gate and notes."""
    if device == "auto":
        raise UsageError("A lease is taken on an actual device, such as cpu or cuda:0, not on auto.")
    name = "cuda:0" if device == "cuda" else device
    place = folder("leases") / name.replace(":", "-")
    place.mkdir(exist_ok=True)
    return place


def try_lock(path: Path, mode: str) -> IO[bytes] | None:
    """The open and locked file, or None while another holds it. The lock goes when the file is closed."""
    file: IO[bytes] = path.open(mode)
    try:
        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except portalocker.AlreadyLocked:
        file.close()
        return None
    return file


@contextlib.contextmanager
def _note(place: Path, who: str) -> Iterator[Path]:
    """A locked file that says that we are here; the text lies beside it: nobody can read a locked file on Windows."""
    note = place / f"{os.getpid()}-{next(_serial)}.lock"
    note.with_suffix(".txt").write_text(who, encoding="utf-8")
    while (lock := try_lock(note, "ab")) is None:  # one who looks for holders may try it just now
        time.sleep(0.001)
    try:
        yield note
    finally:
        lock.close()
        _remove(note)


def _remove(note: Path) -> None:
    for path in (note, note.with_suffix(".txt")):
        with contextlib.suppress(OSError):  # on Windows, while another process looks at it
            path.unlink(missing_ok=True)


def _locked_notes(place: Path) -> list[Path]:
    """The notes whose holders are there."""
    held = []
    for note in sorted(place.glob("*.lock")):
        try:
            lock = try_lock(note, "rb+")
        except FileNotFoundError:
            continue
        if lock is None:
            held.append(note)
        else:
            lock.close()
    return held


def _names(notes: list[Path]) -> str | None:
    """What the notes' holders call themselves."""
    names = []
    for note in notes:
        with contextlib.suppress(FileNotFoundError):  # its holder has just left
            names.append(note.with_suffix(".txt").read_text(encoding="utf-8"))
    return ", ".join(names) or None


def _others(place: Path, own: Path) -> list[Path]:
    """Those who are still inside, for one who holds the gate; sweeps away the notes of processes that crashed."""
    held = _locked_notes(place)
    for note in place.glob("*.lock"):
        if note not in held:
            _remove(note)
    return [note for note in held if note != own]
