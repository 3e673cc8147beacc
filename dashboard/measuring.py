"""What pages that measure share: which model and variants, the button's command as a job, and how far it is."""

import platform
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import jobs, widgets
from dashboard.texts import say
from fastglm.errors import FastGLMError
from fastglm.home import folder


def pick_subject(place: str) -> tuple[str, list[str], bool]:
    """Let the visitor choose a model and the variants to measure; and whether that can be done now."""
    left, right = st.columns(2)
    with left:
        model = widgets.pick_model(place)
    refused = widgets.refusal(model)
    offers = [] if refused else widgets.offers_for(model)
    able = [offer.name for offer in offers if offer.reason is None]
    with right:
        variants = st.multiselect(say("variants"), able, able, key=f"{place}-variants", persist_state="session")
    if refused:
        st.error(refused, icon=":material/block:")
    for offer in offers:
        if offer.reason:
            st.caption(f":material/block: **{offer.name}**: {offer.reason}")
    return model, variants, refused is None and bool(variants) and not running()


def running() -> bool:
    """Whether something is being measured."""
    job = jobs.latest()
    return job is not None and job.alive


def start(model: str, variants: list[str], suite: str, options: list[str]) -> None:
    """Measure in the background; draws the page anew, or the reason why that cannot be."""
    _start(["run", "--model", model, "--variants", ",".join(variants), "--suite", suite, *options])


def offer_rest(run: pd.Series) -> None:
    """Draw the button that measures what a run of this machine lacks that ended too soon."""
    ended = run["status"] in ("cancelled", "interrupted", "failed") and run["machine"].get("node") == platform.node()
    if ended and _may_open(run) and not running() and st.button(say("go-on"), key="go-on", icon=":material/resume:"):
        _start(["resume", str(run.name)])


def _may_open(run: pd.Series) -> bool:
    """Whether its files are among those that visitors may open: an imported run can name any."""
    texts = run["settings"].get("texts")
    return widgets.refusal(run["model"]) is None and (
        texts is None or folder("texts").resolve() in Path(texts).resolve().parents
    )


def _start(arguments: list[str]) -> None:
    try:
        jobs.start(["-m", "benchmarks", *arguments, "--progress", "json"])
    except FastGLMError as error:
        st.error(str(error))
    else:
        st.rerun()


def watch() -> None:
    """How far the latest job is, or how it ended where that is worth a word."""
    job = jobs.latest()
    if job is not None and job.alive:
        st.fragment(_draw_job, run_every=0.5)(job)
    elif job is not None:
        _draw_end(job)


def _draw_job(job: jobs.Job) -> None:
    """Drawn again and again."""
    report = job.read()
    if not report.alive:
        st.rerun()
    left = say("time-left", time=f"{report.eta:.0f}") if report.eta is not None else ""
    words = say("cancelling") if report.cancelled else f"{report.stage} {left}".strip() or say("starting")
    st.progress(report.fraction, words)
    st.button(say("cancel"), key="cancel", icon=":material/stop:", on_click=job.cancel, disabled=report.cancelled)


def _draw_end(job: jobs.Job) -> None:
    report = job.read()
    if report.error:
        st.error(report.error, icon=":material/error:")
    elif report.cancelled and not report.done:
        st.info(say("cancelled"), icon=":material/stop_circle:")
