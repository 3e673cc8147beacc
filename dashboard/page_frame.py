"""The frame of every page: title, language, who is there, and what the machine has."""

from pathlib import Path

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from dashboard import door, machine
from dashboard.markup import plain
from dashboard.session.browser_tab import attend, tab_id
from dashboard.session.conversation import Desk, desk
from dashboard.texts import LANGUAGES, language, say
from fastglm.errors import FastGLMError
from fastglm.system.home import folder

ICON = str(Path(__file__).parent / "icon.svg")  # a file: named icons would be fetched from a server elsewhere


def _join_the_app() -> None:
    """Let a first visit to the address of a page go through streamlit_app.py like any other.

    Until a session has run that file, streamlit takes the folder `pages/` for the list of pages, and runs one alone.
    """
    if getattr(PagesManager, "uses_pages_directory", False):
        PagesManager.uses_pages_directory = False
        st.rerun()


def _check_home() -> None:
    """Say in a line that the home cannot be used, and stop there."""
    try:
        folder("conversations")
    except FastGLMError as error:
        st.error(plain(error), icon=":material/folder_off:")
        st.stop()


def begin(title: str, wide: bool = True) -> tuple[Desk, str]:
    """Open a page to those who may come in; returns the server's desk and the id of the visitor's tab. Draws title and
    sidebar."""
    _join_the_app()
    st.set_page_config(
        page_title=f"{title} · FAST-ChatGLM",
        page_icon=ICON,
        layout="wide" if wide else "centered",
        menu_items={"About": say("about")},  # the menu it opens has the choice of light and dark
    )
    with st.sidebar:
        st.session_state.setdefault("language", language())
        st.segmented_control(
            say("language"),
            list(LANGUAGES),
            format_func=LANGUAGES.__getitem__,
            key="language",
            required=True,
            bind="query-params",
            label_visibility="collapsed",
        )
    st.title(title, anchor=False)
    with st.container():  # what follows keeps its place when this is drawn no longer
        tab = tab_id()
        door.check(tab)
    _check_home()  # whose line names a folder: not for those outside
    with st.sidebar:
        machine.draw()
    shared = desk()
    attend(tab, shared.presence)
    return shared, tab
