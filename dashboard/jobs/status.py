"""Status of the jobs: the running one, the waiting ones, and the end of the last one."""

import re
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
import streamlit as st

from benchmarks.jobs.compression import COMMAND, Compression
from benchmarks.report import charts
from dashboard import widgets
from dashboard.jobs import jobs
from dashboard.jobs.jobs import Job
from dashboard.markup import Markdown, plain
from dashboard.texts import say
from fastglm.errors import FastGLMError, UsageError

_LOSS = re.compile(r"(\d+)/\d+ · loss (\d+\.?\d*)")  # in the form in which a worker logs the notes of a training
_STEP = re.compile(r"step (\d+) of (\d+): (.*)")  # steps of a recipe


def compression(job: Job) -> Compression | None:
    """The compression that a job makes; None for a job that measures."""
    if job.arguments[: len(COMMAND)] != COMMAND:
        return None
    try:
        return Compression.of(job.arguments)
    except UsageError:  # no worker will run it
        return None


def watch() -> None:
    """Draw the running and waiting jobs, and the end of the last job if it matters."""
    try:
        left, ended = jobs.unfinished(), jobs.last()
    except FastGLMError:  # the page reports it with its results
        return
    # A job that ended before the running ones were queued is old news.
    if ended and ended.finished and (not left or ended.finished > left[0].queued):
        _draw_end(ended)
    if left:
        st.fragment(_draw_jobs, run_every=0.5)([job.id for job in left])


def _draw_jobs(drawn: list[int]) -> None:
    """Draw the jobs again and again; the whole page when a job came or ended."""
    try:
        left = jobs.unfinished()
    except FastGLMError as error:
        st.warning(plain(error), icon=":material/database_off:")
        return
    if [job.id for job in left] != drawn:
        st.rerun()
    for job in left:
        if job.state == "running":
            _draw_running(job)
        else:
            _draw_waiting(job, left)


def _draw_running(job: Job) -> None:
    """Draw a job's progress, and its log in an expander."""
    st.markdown(f":material/play_circle: {_title(job)}")
    time_left = say("time-left", time=f"{job.eta:.0f}") if job.eta is not None else ""
    words = f"{_stage(job)} {time_left}".strip() or say("starting")
    if job.abandoned:
        words = say("job-abandoned")
    if job.cancelling:
        words = say("compress-cancelling") if compression(job) else say("cancelling")
    st.progress(job.fraction, words)
    _offer_cancel(job)
    if job.abandoned and (trouble := jobs.trouble()):
        st.error(plain(trouble), icon=":material/error:")
    if compression(job):
        _draw_loss(job)
    log = st.expander(say("log"), key=f"log-{job.id}", icon=":material/notes:", on_change="rerun")
    if log.open:
        log.code("\n".join(jobs.lines(job)), language=None, height=240)


def _stage(job: Job) -> str:
    """The current stage, in the visitor's language if the stage is known."""
    found = _STEP.match(job.stage)
    return say("job-step", step=found[1], steps=found[2], doing=found[3]) if found else plain(job.stage)


def _draw_loss(job: Job) -> None:
    """Draw the loss of the current training, as far back as the log goes."""
    found = pd.DataFrame([map(float, noted.groups()) for noted in map(_LOSS.match, jobs.lines(job)) if noted])
    if len(found) < 2:
        return
    found.columns = pd.Index(["x", "value"])
    found = found.iloc[found["x"].diff().lt(0).to_numpy().nonzero()[0].max(initial=0) :]  # values of the last training
    rows = found.assign(variant=say("loss"), low=None, high=None)
    figure = charts.against(rows, say("loss"), say("training-steps")).update_traces(mode="lines")
    st.plotly_chart(figure.update_layout(height=200, showlegend=False), key=f"loss-{job.id}", config=charts.BARE)


def _draw_waiting(job: Job, left: Sequence[Job]) -> None:
    """Draw a job's position in the queue."""
    ahead = sum(job.waits_for(other) for other in left if other.id < job.id)
    st.markdown(f":material/schedule: {_title(job)} · {say('job-waits', count=ahead)}")
    _offer_cancel(job)
    if not ahead and (trouble := jobs.trouble()):
        st.error(plain(trouble), icon=":material/error:")


def _offer_cancel(job: Job) -> None:
    if st.button(say("cancel"), key=f"cancel-{job.id}", icon=":material/stop:", disabled=job.cancelling):
        try:
            jobs.cancel(job)
        except FastGLMError as error:
            st.error(plain(error))


def _title(job: Job) -> Markdown:
    """The title of a job: model and suites, or the run that it resumes."""
    if making := compression(job):
        return say("job-compresses", model=widgets.model_name(making.model), name=making.name)
    options = dict(pairwise(job.arguments))
    if run := options.get("resume"):
        return say("job-resumes", run=run)
    if "serving" in job.arguments[:3]:
        options["--suite"] = "serving"  # the command is named after its suite
    names = {"serving": say("serve"), "latency": say("latency"), "memory": say("memory"), "quality": say("quality")}
    suites = [names.get(suite, suite) for suite in options.get("--suite", "").split(",")]
    return Markdown(f"{plain(widgets.model_name(options.get('--model', '')))} · {plain(say('comma').join(suites))}")


def _draw_end(job: Job) -> None:
    if job.state == "failed":
        st.error(plain(job.error or ""), icon=":material/error:")
    elif job.state == "cancelled" and job.started:
        st.info(say("compress-cancelled") if compression(job) else say("cancelled"), icon=":material/stop_circle:")
        if job.error:
            st.error(plain(job.error), icon=":material/error:")
