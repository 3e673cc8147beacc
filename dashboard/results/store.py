"""The results store, as all visitors of this server share it."""

import os
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from sqlalchemy.engine import make_url

from benchmarks.store.store import Store, local_url


class _Opened(NamedTuple):
    """A store, and which file it had open."""

    store: Store
    file: tuple[int, int] | None

    def lasts(self) -> bool:
        """Whether the file of the store is still the one that was opened; else closes the store."""
        lasts = _identity(self.store.url) == self.file
        if not lasts:
            self.store.close()
        return lasts


def store() -> Store:
    """The results, opened once for all visitors, and again where their file was taken away. Raises `StoreError`."""
    return _opened(os.environ.get("FASTGLM_DATABASE_URL") or local_url()).store


@st.cache_resource(show_spinner=False, validate=_Opened.lasts)
def _opened(url: str) -> _Opened:
    return _Opened(Store(url), _identity(url))


def _identity(url: str) -> tuple[int, int] | None:
    """Device and inode of a SQLite file; None of any other database, and where there is no file."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    try:
        found = Path(parsed.database).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
