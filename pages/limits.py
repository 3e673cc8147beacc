"""Limits: typical errors of such a model, and the limits of the demo model."""

import streamlit as st

from dashboard import page_frame
from dashboard.texts import say


def main() -> None:
    """Draw the page."""
    page_frame.begin(say("limits"), wide=False)
    st.markdown(say("limits-intro"))
    for icon, title, body in (
        ("fact_check", say("limits-facts"), say("limits-facts-body")),
        ("calculate", say("limits-logic"), say("limits-logic-body")),
        ("balance", say("limits-bias"), say("limits-bias-body")),
        ("badge", say("limits-self"), say("limits-self-body")),
        ("translate", say("limits-english"), say("limits-english-body")),
        ("history", say("limits-context"), say("limits-context-body")),
        ("compress", say("limits-compressed"), say("limits-compressed-body")),
    ):
        with st.container(border=True):
            st.subheader(f":material/{icon}: {title}", anchor=False)
            st.markdown(body)
    st.subheader(say("limits-demo"), anchor=False)
    st.markdown(say("limits-demo-body"))
    st.caption(say("limits-duty"))


main()
