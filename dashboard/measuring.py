"""What pages that measure share: which model and variants, the button's command as a job, and how far the jobs are."""

import platform
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import answers, jobs, widgets
from dashboard.jobs import Job
from dashboard.texts import say
from fastglm.errors import FastGLMError
from fastglm.home import folder
from fastglm.variants import USUAL


def pick_subject(place: str) -> tuple[str, list[str], bool]:
    """Let the visitor choose a model and the variants to measure; and whether they can be."""
    left, right = st.columns(2)
    with left:
        model = widgets.pick_model(place)
    refused = widgets.refusal(model)
    offers = [] if refused else widgets.offers_for(model)
    able = [offer.name for offer in offers if offer.reason is None]
    usual = [name for name in able if name in USUAL]
    with right:
        variants = st.multiselect(say("variants"), able, usual, key=f"{place}-variants", persist_state="session")
    if refused:
        st.error(refused, icon=":material/block:")
    for offer in offers:
        if offer.reason:
            st.caption(f":material/block: **{offer.name}**: {offer.reason}")
    return model, variants, refused is None and bool(variants)


def running() -> bool:
    """Whether something is being measured, or waits for it. Raises `StoreError`."""
    return bool(jobs.unfinished())


def start(model: str, variants: list[str], suite: str, options: list[str]) -> None:
    """Measure in the background when it is its turn; draws the page anew, or the reason why that cannot be."""
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
    """What is measured and what waits for its turn, and how the last measurement ended where that is worth a word."""
    try:
        left, ended = jobs.unfinished(), jobs.last()
    except FastGLMError:  # the page tells of it where it shows results
        return
    if ended and ended.finished and (not left or ended.finished > left[0].queued):  # not of before these were asked for
        _draw_end(ended)
    if left:
        st.fragment(_draw_jobs, run_every=0.5)([job.id for job in left])


def _draw_jobs(drawn: list[int]) -> None:
    """Drawn again and again; the whole page, when one came or ended."""
    try:
        left = jobs.unfinished()
    except FastGLMError as error:
        st.warning(str(error), icon=":material/database_off:")
        return
    if [job.id for job in left] != drawn:
        st.rerun()
    for job in left:
        if job.state == "running":
            _draw_running(job)
        else:
            _draw_waiting(job, left)


def _draw_running(job: Job) -> None:
    """How far it is, and its log for those who open it."""
    time_left = say("time-left", time=f"{job.eta:.0f}") if job.eta is not None else ""
    words = f"{answers.harmless(job.stage)} {time_left}".strip() or say("starting")
    if job.abandoned:
        words = say("job-abandoned")
    if job.cancelling:
        words = say("cancelling")
    st.progress(job.fraction, words)
    _offer_cancel(job)
    log = st.expander(say("log"), key=f"log-{job.id}", icon=":material/notes:", on_change="rerun")
    if log.open:
        log.code("\n".join(jobs.lines(job)), language=None, height=240)


def _draw_waiting(job: Job, left: Sequence[Job]) -> None:
    """Its place in the queue."""
    ahead = sum(job.waits_for(other) for other in left if other.id < job.id)
    st.markdown(f":material/schedule: {answers.harmless(_title(job))} · {say('job-waits', count=ahead)}")
    _offer_cancel(job)
    if not ahead and (trouble := jobs.trouble()):
        st.error(answers.harmless(trouble), icon=":material/error:")


def _offer_cancel(job: Job) -> None:
    if st.button(say("cancel"), key=f"cancel-{job.id}", icon=":material/stop:", disabled=job.cancelling):
        try:
            jobs.cancel(job)
        except FastGLMError as error:
            st.error(str(error))


def _title(job: Job) -> str:
    """What a job does: model and suites, or the run that it goes on with."""
    options = dict(pairwise(job.arguments))
    if run := options.get("resume"):
        return say("job-resumes", run=run)
    names = {"latency": say("latency"), "memory": say("memory"), "quality": say("quality")}
    suites = [names.get(suite, suite) for suite in options.get("--suite", "").split(",")]
    return f"{widgets.model_name(options.get('--model', ''))} · {say('comma').join(suites)}"


def _draw_end(job: Job) -> None:
    if job.state == "failed":
        st.error(answers.harmless(job.error or ""), icon=":material/error:")
    elif job.state == "cancelled" and job.started:
        st.info(say("cancelled"), icon=":material/stop_circle:")
        if job.error:
            st.error(answers.harmless(job.error), icon=":material/error:")
