"""The results store that all visitors of this server share."""

import os
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from sqlalchemy.engine import make_url

from benchmarks.store.store import Store, local_url


class _Opened(NamedTuple):
    """An open store and the identity of its file."""

    store: Store
    file: tuple[int, int] | None

    def lasts(self) -> bool:
        """Tell whether the store's file is still the opened one; otherwise close the store."""
        lasts = _identity(self.store.url) == self.file
        if not lasts:
            self.store.close()
        return lasts


def store() -> Store:
    """The results, opened once for all visitors, and again if their file was removed. Raises `StoreError`."""
    return _opened(os.environ.get("FASTGLM_DATABASE_URL") or local_url()).store


@st.cache_resource(show_spinner=False, validate=_Opened.lasts)
def _opened(url: str) -> _Opened:
    return _Opened(Store(url), _identity(url))


def _identity(url: str) -> tuple[int, int] | None:
    """Device and inode of a SQLite file; None for another database or a missing file."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    try:
        found = Path(parsed.database).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
