"""Leases of a device: many chats at once, or one benchmark alone, across processes, in order of arrival.

A server keeps its lease as long as it runs, and that may be days: nobody waits for its end. Whoever wants the device
alone is told who serves there, and may use it beside the server.

Each user draws a ticket: a locked file in the device's folder, with a number above all others, kept until the end of
the use. A chat may start once no benchmark has a lower number, a benchmark once no user has. So a waiting benchmark
lets nobody pass, and users who take a device again and again queue behind those who wait. A ticket's lock ends with its
process: a crash leaves nothing that blocks.
"""

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from fastglm.errors import ServedError, UsageError
from fastglm.system.home import folder, private, writing
from fastglm.system.locks import lock_new, remove_locked, try_lock

OnWait = Callable[[str], None]
Kind = Literal["alone", "shared", "serving"]

LENT = "FASTGLM_LENT_DEVICES"  # in the environment of a process: devices that its starter has leased and lends to it

_serial = itertools.count()
_LONGEST_PAUSE = 0.05  # seconds between two looks at a lock
_NEWS_AFTER = 0.02  # seconds of waiting that are not worth reporting
_FORSAKEN = 60.0  # seconds after which a text without a ticket has no owner
_NAME = re.compile(r"(\d+)-(alone|shared|serving)-(\d+)-.*")


@contextlib.contextmanager
def lease(
    device: str, who: str, exclusive: bool = False, on_wait: OnWait | None = None, beside: bool = False
) -> Iterator[str | None]:
    """Use `device` ("cpu", "cuda:0,cuda:1") inside the block: together with others, or alone if `exclusive`. Gives the
    names of servers beside which it is used alone, None without any.

    During a wait, `on_wait` is called many times a second with a text that says who uses the device; an exception from
    it ends the wait. `who` is the text that others see. A device in `LENT` needs no lease
    of its own.

    Args:
        beside: use the device alone except for servers.

    Raises:
        ServedError: a server has the device that is wanted alone, unless `beside` allows for it.
        UsageError: "auto"; only an actual device can be leased.
        HomeError: the home, which contains the leases, cannot be written.
    """
    with contextlib.ExitStack() as held:
        found = _each(device, "alone" if exclusive else "shared", who, on_wait, beside, held)
        yield ", ".join(found) or None


@contextlib.contextmanager
def serving_lease(device: str, who: str, on_wait: OnWait | None = None) -> Iterator[None]:
    """Use `device` inside the block as a server, together with others; arguments and errors are those of `lease`."""
    with contextlib.ExitStack() as held:
        _each(device, "serving", who, on_wait, False, held)
        yield


def _each(
    device: str, kind: Kind, who: str, on_wait: OnWait | None, beside: bool, held: contextlib.ExitStack
) -> list[str]:
    """Leases on all devices that are not lent, kept in `held`; returns the servers beside which they are alone."""
    # In one order, so that two users of the same devices cannot wait for each other.
    wanted = sorted(set(device.split(",")) - set(os.environ.get(LENT, "").split(",")))
    found = [held.enter_context(_lease(one, kind, who, on_wait, beside)) for one in wanted]
    return list(dict.fromkeys(name for name in found if name))


@contextlib.contextmanager
def _lease(device: str, kind: Kind, who: str, on_wait: OnWait | None, beside: bool) -> Iterator[str | None]:
    """A lease on a single device."""
    place = _place(device)
    with _ticket(place, who, kind) as own:
        since, ahead = time.monotonic(), _tickets(place, own.number)
        serving = _servers(ahead) if own.exclusive else None
        if serving and not beside:
            raise ServedError(f"{serving} uses {device}")
        while not own.goes_in(ahead):
            waited = time.monotonic() - since
            if on_wait and waited > _NEWS_AFTER:
                on_wait(_names(_users(ahead)) or "another process")
            time.sleep(min(0.001 + waited / 4, _LONGEST_PAUSE))
            ahead = _tickets(place, own.number)
        yield serving


def holder(device: str) -> str | None:
    """The present user of `device`, or the next one to have it alone; None if it is free."""
    return _names([ticket for one in device.split(",") for ticket in _users(_tickets(_place(one)))])


def servers(device: str) -> str | None:
    """The servers that have `device`, or wait for it, each with its process; None if there are none."""
    return _servers([ticket for one in device.split(",") for ticket in _tickets(_place(one))])


def next_alone(device: str) -> str | None:
    """The user who waits to have `device` alone, for a caller that shares it now; None if there is none."""
    waiting = [ticket for one in device.split(",") for ticket in _tickets(_place(one)) if ticket.exclusive]
    return _names(waiting[:1]) or "another process" if waiting else None


@dataclass(frozen=True, slots=True, order=True)
class _Ticket:
    """A place in the queue of a device's users."""

    number: int
    kind: Kind
    path: Path

    @classmethod
    def of(cls, path: Path) -> "_Ticket":
        """Read a ticket from the name of its file; tickets of versions without numbers come first."""
        match _NAME.fullmatch(path.name):
            case re.Match() as found:
                return cls(int(found[1]), found[2], path)
        return cls(0, "shared", path)

    @property
    def exclusive(self) -> bool:
        """Tell whether its user wants the device alone."""
        return self.kind == "alone"

    def goes_in(self, ahead: "list[_Ticket]") -> bool:
        """Tell whether this ticket may use the device, given the tickets before it."""
        return not any(ticket.kind != "serving" if self.exclusive else ticket.exclusive for ticket in ahead)


@contextlib.contextmanager
def _ticket(place: Path, who: str, kind: Kind) -> Iterator[_Ticket]:
    """A new ticket. Its text lies in a second file, because locked files cannot be read on Windows."""
    with writing():
        while (gate := try_lock(place / "gate")) is None:  # held only while a ticket is drawn
            time.sleep(0.001)
        with gate:
            number = 1 + max((_Ticket.of(path).number for path in place.glob("*.lock")), default=0)
            path = place / f"{number:06}-{kind}-{os.getpid()}-{next(_serial)}.lock"
            lock = lock_new(path)
    try:
        with (
            contextlib.suppress(OSError),  # a full disk: others do not see the name
            open(path.with_suffix(".txt"), "w", encoding="utf-8", opener=private) as text,
        ):
            text.write(who)
        yield _Ticket(number, kind, path)
    finally:
        _remove(path, lock)


def _remove(ticket: Path, lock: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # on Windows, while another process reads it
        ticket.with_suffix(".txt").unlink(missing_ok=True)
    remove_locked(ticket, lock)


def _place(device: str) -> Path:
    """The folder of a device's tickets."""
    if device == "auto":
        raise UsageError("A lease is taken on an actual device, such as cpu or cuda:0, not on auto.")
    name = "cuda:0" if device == "cuda" else device
    return folder(f"leases/{name.replace(':', '-')}")


def _tickets(place: Path, below: int | None = None) -> list[_Ticket]:
    """The tickets of living holders, in order; those of crashed processes are removed."""
    found = sorted(map(_Ticket.of, place.glob("*.lock")))
    return [ticket for ticket in found if (below is None or ticket.number < below) and _is_held(ticket.path)]


def _is_held(path: Path) -> bool:
    try:
        lock = try_lock(path, "rb+")
    except FileNotFoundError:
        return False
    if lock is not None:
        _remove(path, lock)
    return lock is None


def _users(tickets: list[_Ticket]) -> list[_Ticket]:
    """The tickets of the device's users, and of the next user who will have it alone."""
    inside = [ticket for number, ticket in enumerate(tickets) if ticket.goes_in(tickets[:number])]
    following = tickets[len(inside) : len(inside) + 1]
    return inside if any(ticket.exclusive for ticket in inside) else inside + following


def _names(tickets: list[_Ticket]) -> str | None:
    """Names in the texts of tickets."""
    names = []
    for ticket in tickets:
        with contextlib.suppress(FileNotFoundError):  # its holder has just left
            names.append(ticket.path.with_suffix(".txt").read_text(encoding="utf-8"))
    return ", ".join(names) or None


def _servers(tickets: list[_Ticket]) -> str | None:
    """Names of the servers among tickets, each with the id of its process."""
    names = [
        f"{_names([ticket]) or 'a server'} (process {ticket.path.name.split('-')[2]})"
        for ticket in tickets
        if ticket.kind == "serving"
    ]
    return ", ".join(dict.fromkeys(names)) or None  # a server of several devices has a ticket for each


def sweep_tickets() -> None:
    """Remove files of ended processes from the devices' folders."""
    for place in filter(Path.is_dir, folder("leases").iterdir()):
        _tickets(place)
        for text in place.glob("*.txt"):
            with contextlib.suppress(OSError):
                if not text.with_suffix(".lock").exists() and time.time() - text.stat().st_mtime > _FORSAKEN:
                    text.unlink()
