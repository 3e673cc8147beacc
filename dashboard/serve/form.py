"""The form that starts a server, and the key of a new one."""

import secrets
from collections.abc import Container

import streamlit as st

from dashboard import widgets
from dashboard.door import is_loopback
from dashboard.markup import plain
from dashboard.serve import launch
from dashboard.session.conversation import Desk
from dashboard.texts import say
from fastglm.errors import FastGLMError
from fastglm.serve.record import Record

_FIRST = 8000  # the usual port
_KEY = "serve-secret"


def draw(desk: Desk, running: list[Record]) -> None:
    """Draw the choices and the button."""
    st.subheader(say("serve-start"), anchor=False)
    left, right = st.columns(2)
    key, refused = widgets.pick("serve", left, right, variant="int4")
    if refused:
        st.error(plain(refused), icon=":material/block:")
    free = next(port for port in range(_FIRST, 1 << 16) if port not in {record.port for record in running})
    with st.form("serve", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        host = st.text_input(say("serve-host"), "127.0.0.1", max_chars=100, width=200, help=say("serve-host-help"))
        port = st.number_input(say("serve-port"), 1024, 65535, free, key=f"serve-port-{free}", width=140)
        wants_key = st.toggle(say("serve-key"), help=say("serve-key-help"))
        go = st.form_submit_button(
            say("serve-go"), type="primary", icon=":material/play_arrow:", disabled=refused is not None
        )
    if not go:
        return
    secret = secrets.token_urlsafe(24) if wants_key or not is_loopback(host.strip()) else None
    desk.give_over(key)
    try:
        launch.start(key, host.strip(), int(port), secret)
    except FastGLMError as error:
        st.error(plain(error), icon=":material/error:")
        return
    st.session_state[_KEY] = (port, secret)
    st.rerun()


def draw_key(ports: Container[int | None]) -> None:
    """Draw the key of the server that this visitor has just started, until it is copied, or the server has ended;
    `ports` are those of servers that run or start.
    """
    port, secret = st.session_state.get(_KEY, (None, None))
    if port not in ports:
        st.session_state.pop(_KEY, None)
        return
    if not secret:
        return
    with st.container(border=True):
        st.markdown(f":material/key: {say('serve-key-once')}")
        st.code(secret, None, wrap_lines=True)
        if st.button(say("serve-key-copied"), key="serve-key-copied", icon=":material/check:"):
            del st.session_state[_KEY]
            st.rerun()
