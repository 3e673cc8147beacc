"""Serve: start a server, watch it and stop it."""

import streamlit as st

from dashboard import page_frame
from dashboard.markup import plain
from dashboard.results import serving_section
from dashboard.serve import card, form, launch
from dashboard.serve.permission import is_allowed
from dashboard.session.conversation import Desk
from dashboard.texts import say
from fastglm.serve.record import Record, servers


def main() -> None:
    """Draw the page."""
    desk, _ = page_frame.begin(say("serve"))
    st.caption(say("serve-intro"))
    with st.container():
        if is_allowed():
            draw_servers(desk)
        else:
            st.info(say("serve-forbidden"), icon=":material/lock:")
    with st.container():
        serving_section.draw(is_allowed())


def draw_servers(desk: Desk) -> None:
    """Draw the running servers, the one that starts, and the form for another one."""
    starting, running = launch.starting(), servers()  # in this order: a server that listens now is in neither otherwise
    with st.container():  # fixed places, so that a slow page draws nothing into the place of another
        for record in running:
            card.draw(record)
    with st.container():
        form.draw_key({starting, *(record.port for record in running)})
    st.fragment(draw_start, run_every=1.0)(running, starting)
    form.draw(desk, running)


def draw_start(running: list[Record], starting: int | None) -> None:
    """Draw the state of a server that starts; the whole page again when a server came, ended or failed."""
    if servers() != running or launch.starting() != starting:
        st.rerun()
    if starting:
        st.caption(f":material/hourglass_top: {say('serve-starting', port=str(starting))}")
    elif failed := launch.failure():
        st.error(plain(failed), icon=":material/error:")


main()
