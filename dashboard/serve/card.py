"""The card of a running server: its figures, its state, and calls to copy."""

import json
from collections import deque
from urllib.parse import urlsplit

import streamlit as st

from dashboard import widgets
from dashboard.markup import bold, code, plain
from dashboard.serve import figures, launch
from dashboard.serve.figures import Figures
from dashboard.texts import say
from fastglm.errors import FastGLMError, HostError
from fastglm.serve import snippets
from fastglm.serve.record import Record, servers
from fastglm.serve.shared_host import SharedHost
from fastglm.system.files import in_words

_NONE = "—"  # in place of a figure that is not known yet


def draw(record: Record) -> None:
    """Draw a server; its figures again and again."""
    with st.container(border=True):
        head, button = st.columns([4, 1], vertical_alignment="center")
        head.markdown(
            f"{plain(widgets.model_name(record.key.model))} · {bold(record.key.variant)} · {code(record.url)}"
        )
        with button:
            _offer_stop(record)
        st.fragment(_watch, run_every=1.0)(record)
        curl, python = st.tabs(["curl", "Python"])
        url = _local(record)
        curl.code(snippets.curl(url, record.has_key), None, wrap_lines=True)
        python.code(snippets.python(url, record.name, record.has_key), None, wrap_lines=True)
        if url != record.url:
            st.caption(say("serve-elsewhere"))


def _offer_stop(record: Record) -> None:
    stopping = launch.is_stopping(record)
    if st.button(
        say("serve-stop"), key=f"stop-{record.url}", icon=":material/stop:", disabled=stopping, width="stretch"
    ):
        try:
            launch.stop(record)
        except FastGLMError as error:
            st.error(plain(error), icon=":material/error:")
        else:
            st.rerun()


def _watch(record: Record) -> None:
    """Draw the state and the figures of a server; the whole page once it has ended."""
    if record not in servers():
        st.rerun()
    try:
        status, told = SharedHost(record).get("/health")
        now = figures.read(SharedHost(record).get("/metrics")[1])
    except HostError as error:
        st.caption(f":material/hourglass_top: {plain(error)}")
        return
    if launch.is_stopping(record):
        st.caption(f":material/hourglass_bottom: {say('serve-stopping')}")
    elif status != 200:
        st.caption(f":material/hourglass_top: {plain(_message(told))}")
    earlier: deque[Figures] = st.session_state.setdefault(f"figures-{record.token}", deque())
    while earlier and now.at - earlier[0].at > figures.SPAN:
        earlier.popleft()
    _draw_figures(now, figures.rate(earlier, now))
    earlier.append(now)


def _draw_figures(now: Figures, rate: float | None) -> None:
    middle, late = (figures.quantile(now.ttft, share) for share in (0.5, 0.95))
    times = _NONE if middle is None or late is None else f"{_seconds(middle)} / {_seconds(late)} s"
    with st.container(horizontal=True):
        st.metric(say("serve-open"), f"{now.open}", help=say("serve-open-help", most=now.most, waiting=now.waiting))
        st.metric(say("serve-rate"), _NONE if rate is None else f"{rate:.1f}", help=say("serve-rate-help"))
        st.metric(say("serve-ttft"), times, help=say("serve-ttft-help"))
        st.metric(say("serve-slots"), f"{now.slots}", help=say("serve-slots-help"))
        st.metric(say("memory"), in_words(now.memory) if now.memory else _NONE, help=say("serve-memory-help"))


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _message(told: str) -> str:
    """The message of an error of the server."""
    try:
        return str(json.loads(told)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return told


def _local(record: Record) -> str:
    """An address that this machine reaches, for one that means all of its addresses."""
    return f"http://127.0.0.1:{record.port}" if urlsplit(record.url).hostname in ("0.0.0.0", "::") else record.url
