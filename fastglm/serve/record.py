"""Records of the running servers of a home, where the app finds them.

A record is a file that only this user may read, beside a file that its server keeps locked: the record of a server
that was killed is removed by the next process that looks.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from fastglm.errors import FastGLMError
from fastglm.hosting.lease import LENT
from fastglm.hosting.protocol import HostKey
from fastglm.system.files import read_json, replacing
from fastglm.system.home import folder, writing
from fastglm.system.locks import lock_new, remove_locked, try_lock

_FOLDER = "servers"
_SECRET = 0o600  # mode of a record, in a home that is shared too


@dataclass(frozen=True, slots=True)
class Record:
    """A running server.

    url: the address that it listens at.
    key: the variant; a folder by its whole path.
    name: the model in requests.
    has_key: its clients need a key, which is not here.
    token: the secret of the app, in place of a key.
    """

    url: str
    key: HostKey
    name: str
    has_key: bool
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def port(self) -> int | None:
        return urlsplit(self.url).port


@contextlib.contextmanager
def announced(record: Record) -> Iterator[None]:
    """Keep a record in the home while the block runs. Raises HomeError if the home cannot be written.

    A server on a lent device leaves none: it is being measured, and must answer nobody else.
    """
    if os.environ.get(LENT):
        yield
        return
    record = replace(record, key=_whole(record.key))
    with writing():
        path = folder(_FOLDER) / f"{secrets.token_hex(8)}.json"
        lock = lock_new(path.with_suffix(".lock"))
    try:
        with writing(), replacing(path) as partial:
            partial.chmod(_SECRET)
            partial.write_text(json.dumps(asdict(record)), encoding="utf-8")
        yield
    finally:
        _remove(path, lock)


def servers() -> list[Record]:
    """The running servers, by their addresses. Raises HomeError if the home cannot be used."""
    found = []
    for path in folder(_FOLDER).glob("*.lock"):
        try:
            if lock := try_lock(path, "rb+"):
                _remove(path.with_suffix(".json"), lock)
                continue
            told = read_json(path.with_suffix(".json"))
            found.append(Record(**{**told, "key": HostKey(**told["key"])}))
        except (OSError, FastGLMError, TypeError, KeyError):  # it begins or ends at this moment
            continue
    return sorted(found, key=lambda record: record.url)


def server_of(key: HostKey) -> Record | None:
    """A running server of a variant, on whichever device; None if there is none, or the home cannot be used."""
    try:
        running = servers()
    except FastGLMError:
        return None
    wanted = replace(_whole(key), device="") if running else key
    return next((record for record in running if replace(record.key, device="") == wanted), None)


def _whole(key: HostKey) -> HostKey:
    """A key whose model, if it is a folder, is named by its whole path."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # loading will name the fault
        path = Path(key.model).expanduser()
        if path.is_dir():
            return replace(key, model=str(path.resolve()))
    return key


def _remove(path: Path, lock: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    remove_locked(path.with_suffix(".lock"), lock)
