"""Identity of visitors: a browser tab has an id that only it and the server know; its resources are freed when it
closes.

The server makes the id, the tab keeps it in its sessionStorage: it survives a reload and a server restart, and never
shows in an address. A duplicated tab copies its sessionStorage too; the lock below, which only one living document can
hold, reveals the copy, which then gets a new id.
"""

import secrets
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import streamlit as st

GRACE = 20.0  # seconds between the end of a session and the tab's leaving, so that a reload does not unload a model

_identify = st.components.v2.component("fastglm_tab", js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"))


class Presence:
    """Counts the sessions of each tab (two for a moment during a reload); calls `leave` some seconds after the last one
    ended.
    """

    def __init__(self, leave: Callable[[str], None], grace: float = GRACE) -> None:
        self._leave, self._grace = leave, grace
        self._sessions: Counter[str] = Counter()
        self._lock = threading.Lock()

    def here(self, tab: str) -> bool:
        """Tell whether the tab is open, or was a few seconds ago."""
        with self._lock:
            return tab in self._sessions

    def enter(self, tab: str) -> None:
        """A session of the tab began."""
        with self._lock:
            self._sessions[tab] += 1

    def exit(self, tab: str) -> None:
        """A session of the tab ended."""
        with self._lock:
            self._sessions[tab] -= 1
        timer = threading.Timer(self._grace, self._check, [tab])
        timer.daemon = True
        timer.start()

    def _check(self, tab: str) -> None:
        with self._lock:
            gone = self._sessions.get(tab) == 0
            if gone:
                del self._sessions[tab]
        if gone:
            self._leave(tab)


def tab_id() -> str:
    """The id of the visitor's tab; the first run of a session stops here and continues when the browser has sent the
    id, and then takes the asking component away.
    """
    if "tab" not in st.session_state:
        fresh = st.session_state.setdefault("fresh_tab", secrets.token_urlsafe(24))
        place = st.empty()
        with place:
            told = _identify(key="tab_component", data={"fresh": fresh}, on_id_change=lambda: None, height=1)
        if not isinstance(told.id, str) or not 16 <= len(told.id) <= 64:
            st.stop()
        place.empty()
        st.session_state["tab"] = told.id
    return str(st.session_state["tab"])


def attend(tab: str, presence: Presence) -> None:
    """Note that this session belongs to the tab.

    A session-scoped resource is released when the browser's connection ends (tab closed, reloaded, network gone), and
    made again by the first run after a reconnection: this is streamlit's own record of open sessions.
    """

    @st.cache_resource(scope="session", show_spinner=False, on_release=presence.exit)
    def seat(tab: str) -> str:
        presence.enter(tab)
        return tab

    seat(tab)
