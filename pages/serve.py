"""Serve: start a server, watch it and stop it."""

import streamlit as st

from dashboard import page_frame
from dashboard.serve.permission import is_allowed
from dashboard.texts import say


def main() -> None:
    """Draw the page."""
    page_frame.begin(say("serve"))
    st.caption(say("serve-intro"))
    if not is_allowed():
        st.info(say("serve-forbidden"), icon=":material/lock:")


main()
