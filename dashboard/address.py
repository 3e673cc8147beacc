"""Choices in a page's address."""

from collections.abc import Callable

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_PAGE, _VISIT = "address-page", "address-visit"


def visit() -> None:
    """Note whether the visitor has opened this address: came to the page, or went back or forward in the browser.

    A browser sends the address with every action on a page too, and it may be from before the last choice then.
    """
    run = get_script_run_ctx()
    assert run is not None
    if run.is_history_navigation or st.session_state.get(_PAGE) != run.page_script_hash:
        st.session_state[_VISIT] = st.session_state.get(_VISIT, 0) + 1
        st.session_state[_PAGE] = run.page_script_hash


def take(param: str, key: str, known: Callable[[str], bool] = bool) -> str | None:
    """Give a widget the value of an address that the visitor has opened, once; returns the value if it is known."""
    taken, now = f"{key}-{_VISIT}", st.session_state[_VISIT]
    if st.session_state.get(taken) == now:
        return None
    st.session_state[taken] = now
    named = st.query_params.get(param)
    if named is None or not known(named):
        return None
    st.session_state[key] = named
    return named


def keep(param: str, chosen: str) -> None:
    """Put the present choice into the address."""
    if param:
        st.query_params[param] = chosen
