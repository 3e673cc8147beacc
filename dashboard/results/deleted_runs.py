"""Deleted runs, and the ways to restore them."""

import pandas as pd
import streamlit as st

from benchmarks.store.store import KEPT_DELETED, Store
from dashboard.results import runs
from dashboard.texts import say


def offer(store: Store, chosen: pd.DataFrame) -> None:
    """Draw the button that deletes the chosen runs."""
    running = bool((chosen["status"] == "running").any())
    unable = running or chosen.empty
    if st.button(say("delete", count=len(chosen)), key="delete", icon=":material/delete:", disabled=unable):
        store.delete(chosen["id"].tolist())
        st.session_state["deleted"] = chosen["id"].tolist()
        st.query_params["runs"] = []
        st.rerun()
    if running:
        st.caption(say("delete-running"))


def tell(store: Store) -> None:
    """Draw the runs that the visitor has just deleted, and the button that undoes it."""
    names = st.session_state.get("deleted", [])
    if names:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(":material/delete: " + say("deleted", count=len(names)), width="content")
            if st.button(say("undo"), key="undo", icon=":material/undo:"):
                _bring_back(store, names)


def draw(store: Store) -> None:
    """Draw all runs that can be restored."""
    deleted = store.runs(deleted=True)
    if deleted.empty:
        return
    with st.expander(say("recently-deleted", count=len(deleted)), icon=":material/delete:"):
        st.caption(say("deleted-help", days=KEPT_DELETED.days))
        names = runs.select(deleted.head(runs.SHOWN), "deleted")
        if st.button(say("restore", count=len(names)), key="restore", icon=":material/undo:", disabled=not names):
            _bring_back(store, names)


def _bring_back(store: Store, names: list[str]) -> None:
    st.session_state.pop("deleted", None)
    store.restore(names)
    st.rerun()
