"""The machine's device, examined by another process so that the app never opens a context on a GPU."""

import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor

import streamlit as st

from dashboard.markup import bold, plain
from dashboard.texts import say
from fastglm.system.devices import DeviceCard
from fastglm.system.files import in_words


@st.cache_resource(show_spinner=False)
def _looking() -> "Future[DeviceCard]":
    return ThreadPoolExecutor(1, "hardware").submit(_look)


def _look() -> DeviceCard:
    found = subprocess.run(
        [sys.executable, "-m", "fastglm.system.devices"], capture_output=True, text=True, check=True, timeout=120
    )
    return DeviceCard(**json.loads(found.stdout))


def device() -> DeviceCard | None:
    """The device that models run on; None until it is known."""
    found = _looking()
    return found.result() if found.done() and found.exception() is None else None


def draw() -> None:
    """Draw the device as a card; a line while it is being examined."""
    found = _looking()
    with st.container(border=True, gap="xxsmall"):
        if not found.done():
            st.fragment(_wait, run_every=1.0)(found)
        elif found.exception() is not None:
            st.caption(say("device-unknown"))
        else:
            _draw_card(found.result())


def _wait(found: "Future[DeviceCard]") -> None:
    if found.done():
        st.rerun()
    st.caption(say("device-looking"))


def _draw_card(card: DeviceCard) -> None:
    icon = ":material/memory:" if card.kind == "cpu" else ":material/developer_board:"
    st.markdown(f"{icon} {bold(card.name)}")
    lines = [say("device-memory", total=in_words(card.memory_total))]
    if card.compute_capability:
        lines.append(say("device-capability", version=card.compute_capability))
    if card.driver:
        lines.append(plain(card.driver))
    lines.append(say("device-cores", cores=card.cores, threads=card.threads))
    if card.simd:
        lines.append(plain(card.simd))
    st.caption("  \n".join(lines))
