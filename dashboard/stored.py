"""The results store, as all visitors of this server share it."""

import os

import streamlit as st

from benchmarks.store import Store, local_url


def store() -> Store:
    """The results, opened once for all visitors. Raises `StoreError`."""
    return _opened(os.environ.get("FASTGLM_DATABASE_URL") or local_url())


@st.cache_resource(show_spinner=False)
def _opened(url: str) -> Store:
    return Store(url)
