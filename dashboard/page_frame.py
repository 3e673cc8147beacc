"""The frame of every page: title, language, the visitor's tab, and the machine."""

from pathlib import Path

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from dashboard import address, door, machine
from dashboard.markup import plain
from dashboard.session.browser_tab import attend, tab_id
from dashboard.session.conversation import Desk, desk
from dashboard.texts import LANGUAGES, language, say
from fastglm.errors import FastGLMError
from fastglm.system.home import folder

ICON = str(Path(__file__).parent / "icon.svg")  # a file: a named icon would be fetched from another server


def _join_the_app() -> None:
    """Run streamlit_app.py first when the first visit goes to the address of a page.

    Until a session has run this file, streamlit treats the folder `pages/` as the list of pages, and runs a page alone.
    """
    if getattr(PagesManager, "uses_pages_directory", False):
        PagesManager.uses_pages_directory = False
        st.rerun()


def _check_home() -> None:
    """Stop with one line if the home cannot be used."""
    try:
        folder("conversations")
    except FastGLMError as error:
        st.error(plain(error), icon=":material/folder_off:")
        st.stop()


def begin(title: str, wide: bool = True) -> tuple[Desk, str]:
    """Open a page for permitted visitors and draw title and sidebar; returns the server's desk and the id of the
    visitor's tab.
    """
    _join_the_app()
    st.set_page_config(
        page_title=f"{title} · FAST-ChatGLM",
        page_icon=ICON,
        layout="wide" if wide else "centered",
        menu_items={"About": say("about")},  # its menu has the choice of light and dark
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
    with st.container():  # keeps the place of later elements when this is no longer drawn
        tab = tab_id()
        door.check(tab)
    _check_home()  # the message names a folder, which is not for strangers
    with st.sidebar:
        machine.draw()
    shared = desk()
    attend(tab, shared.presence)
    address.visit()
    return shared, tab
