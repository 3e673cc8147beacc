"""The form of measuring pages: model and variants, and the button that queues the command."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import machine, widgets
from dashboard.jobs import jobs
from dashboard.markup import bold, plain
from dashboard.texts import say
from fastglm.errors import FastGLMError
from fastglm.hosting.lease import servers
from fastglm.system.home import folder
from fastglm.variants.variants import USUAL

BESIDE = "measure-beside"


def pick_subject(place: str, link: str = "model") -> tuple[str, list[str], bool]:
    """Let the visitor choose a model and the variants to measure; the last value tells whether they can be measured.

    The parameter `link` of the address names the model.
    """
    model = widgets.pick_model(place, link=link)
    refused = widgets.refusal(model)
    offers = [] if refused else widgets.offers_for(model)
    able = [offer.name for offer in offers if offer.reason is None]
    usual = [name for name in able if name in USUAL]
    variants = st.multiselect(say("variants"), able, usual, key=f"{place}-variants", persist_state="session", wrap=True)
    if refused:
        st.error(plain(refused), icon=":material/block:")
    for offer in offers:
        if offer.reason:
            st.caption(f":material/block: {bold(offer.name)}: {plain(offer.reason)}")
    _offer_beside()
    return model, variants, refused is None and bool(variants)


def running() -> bool:
    """Tell whether a measurement runs or waits. Raises `StoreError`."""
    return bool(jobs.unfinished())


def start(model: str, variants: list[str], suite: str, options: list[str]) -> None:
    """Queue a measurement; draws the page again, or the reason why it cannot be queued."""
    _start(["run", "--model", model, "--variants", ",".join(variants), "--suite", suite, *options])


def start_servers(model: str, variants: list[str], options: list[str]) -> None:
    """Queue a measurement of servers under load, as `start` does."""
    _start(["serving", "--model", model, "--variants", ",".join(variants), *options])


def start_each(variants: Mapping[str, str], suite: str, options: list[str]) -> None:
    """Queue measurements of a variant of each model, one after another; draws the page again, or the reason why they
    cannot be queued.
    """
    rest = ["--suite", suite, *options]
    _start(*(["run", "--model", model, "--variants", name, *rest] for model, name in variants.items()))


def offer_rest(run: pd.Series) -> None:
    """Draw the button that measures the rest of an unfinished run of this machine."""
    ended = run["status"] in ("cancelled", "interrupted", "failed") and run["machine"].get("node") == platform.node()
    if ended and _may_open(run) and not running() and st.button(say("go-on"), key="go-on", icon=":material/resume:"):
        _start(["resume", str(run.name)])


def _may_open(run: pd.Series) -> bool:
    """Tell whether a run's files are among those that visitors may open: an imported run can name any."""
    texts = run["settings"].get("texts")
    return widgets.refusal(run["model"]) is None and (
        texts is None or folder("texts").resolve() in Path(texts).resolve().parents
    )


def _offer_beside() -> None:
    """Name the servers on the device, which refuse a measurement, and let the visitor measure beside them."""
    card = machine.device()
    with suppress(FastGLMError):  # a broken home is told elsewhere
        if card and (found := servers(card.kind)):
            st.toggle(say("measure-beside", servers=found), key=BESIDE)


def _start(*commands: list[str]) -> None:
    beside = ["--beside"] if st.session_state.get(BESIDE) else []
    try:
        for arguments in commands:
            jobs.start(["-m", "benchmarks", *arguments, *beside, "--progress", "json"])
    except FastGLMError as error:
        st.error(plain(error))
    else:
        st.rerun()
