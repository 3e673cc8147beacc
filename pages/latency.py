"""Latency: measure variants on this machine, and look at what was measured."""

import pandas as pd
import streamlit as st

from benchmarks.store import Store
from dashboard import charts, frame, jobs, widgets
from dashboard.texts import say
from fastglm.errors import FastGLMError


def main() -> None:
    """Draw the page."""
    frame.begin(say("latency"))
    st.caption(say("latency-intro"))
    job = jobs.latest()
    running = job is not None and job.alive
    choose(running)
    if job is not None and running:
        st.fragment(draw_job, run_every=0.5)(job)
    elif job is not None:
        draw_end(job)
    try:
        draw_results(Store())
    except FastGLMError as error:
        st.error(str(error), icon=":material/database_off:")


def choose(running: bool) -> None:
    """What to measure, and the button that starts it."""
    left, right = st.columns(2)
    with left:
        model = widgets.pick_model("latency")
    refused = widgets.refusal(model)
    offers = [] if refused else widgets.offers_for(model)
    able = [offer.name for offer in offers if offer.reason is None]
    with right:
        variants = st.multiselect(say("variants"), able, able, key="latency-variants", persist_state="session")
    with st.form("what", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        prompts = st.multiselect(say("prompt-tokens"), [16, 32, 64, 128, 256, 512, 1024], [32, 128], width=220)
        answer = st.number_input(say("answer-tokens"), 8, 1024, 64, 8, width=160)
        repeats = st.number_input(say("repeats"), 3, 50, 5, width=130, help=say("repeats-help"))
        blocked = running or refused is not None or not variants
        go = st.form_submit_button(say("measure"), type="primary", icon=":material/speed:", disabled=blocked)
    if refused:
        st.error(refused, icon=":material/block:")
    for offer in offers:
        if offer.reason:
            st.caption(f":material/block: **{offer.name}**: {offer.reason}")
    if go and prompts:
        command = ["-m", "benchmarks", "run", "--model", model, "--variants", ",".join(variants), "--suite", "latency"]
        command += ["--prompt-tokens", ",".join(map(str, sorted(prompts))), "--answer-tokens", str(answer)]
        try:
            jobs.start([*command, "--repeats", str(repeats), "--progress", "json"])
        except FastGLMError as error:
            st.error(str(error))
        else:
            st.rerun()


def draw_job(job: jobs.Job) -> None:
    """How far the measuring is; drawn again and again."""
    report = job.read()
    if not report.alive:
        st.rerun()
    left = say("time-left", time=f"{report.eta:.0f}") if report.eta is not None else ""
    words = say("cancelling") if report.cancelled else f"{report.stage} {left}".strip() or say("starting")
    st.progress(report.fraction, words)
    st.button(say("cancel"), key="cancel", icon=":material/stop:", on_click=job.cancel, disabled=report.cancelled)


def draw_end(job: jobs.Job) -> None:
    """How the last measuring ended, where that is worth a word."""
    report = job.read()
    if report.error:
        st.error(report.error, icon=":material/error:")
    elif report.cancelled and not report.done:
        st.info(say("cancelled"), icon=":material/stop_circle:")


def draw_results(store: Store) -> None:
    """The run that the visitor picks: charts, sentence on how it was measured, and all numbers."""
    runs = store.runs()
    runs = runs.set_index("id")[runs["suites"].map(lambda suites: "latency" in suites).to_numpy(bool)]
    if runs.empty:
        st.info(say("latency-empty"), icon=":material/speed:")
        return
    st.divider()
    key = f"run-{runs.index[0]}"  # a new run is shown when it is there
    chosen = st.selectbox(say("run"), runs.index.tolist(), format_func=lambda name: run_title(runs.loc[name]), key=key)
    rows = store.measurements([chosen])
    lengths = pd.array([params.get("prompt_tokens") for params in rows["params"]], dtype="Int64")
    rows = rows.assign(prompt=lengths, quantile=[params.get("quantile") for params in rows["params"]])
    for failure in rows[rows["metric"] == "failure"].itertuples():
        st.warning(f"**{failure.variant}**: {failure.params.get('message', failure.params)}", icon=":material/warning:")
    rows = rows[rows["metric"] != "failure"]
    if rows.empty:
        st.info(say("run-empty"), icon=":material/hourglass_empty:")
        return
    draw_ratios(rows[rows["metric"] == "decode_rate_ratio"])
    decode, prefill = st.columns(2)
    with decode:
        draw_chart(rows, "decode_rate", say("decode"))
    with prefill:
        draw_chart(rows, "prefill_rate", say("prefill"))
    st.caption(how_measured(runs.loc[chosen], rows))
    draw_table(rows)


def run_title(run: pd.Series) -> str:
    """When, what, and how it ended."""
    try:
        started = run["started"].tz_convert(st.context.timezone or "UTC")
    except (KeyError, ValueError):  # a zone that this machine does not know
        started = run["started"]
    words = {
        "done": say("status-done"),
        "cancelled": say("status-cancelled"),
        "failed": say("status-failed"),
        "running": say("status-running"),
        "interrupted": say("status-interrupted"),
    }
    status = words.get(run["status"], run["status"])
    return f"{started:%Y-%m-%d %H:%M} · {widgets.model_name(run['model'])} · {status}"


def draw_ratios(rows: pd.DataFrame) -> None:
    """A sentence a variant: how much faster it answers than the baseline, after prompts of each length."""
    for variant, part in rows.groupby("variant", sort=False):
        ratios = []
        for row in part.itertuples():
            interval = say("interval", low=f"{row.low:.2f}", high=f"{row.high:.2f}") if pd.notna(row.low) else ""
            ratios.append(say("ratio", ratio=f"{row.value:.2f}", interval=interval, prompt=str(row.prompt)))
        baseline = part["params"].iloc[0]["baseline"]
        st.markdown(say("ratios", variant=str(variant), baseline=baseline, ratios=say("comma").join(ratios)))


def draw_chart(rows: pd.DataFrame, metric: str, title: str) -> None:
    """Bars of a metric, by prompt length and variant."""
    part = rows[rows["metric"] == metric]
    st.subheader(title, anchor=False)
    figure = charts.measured(
        part.assign(group=part["prompt"].astype(str)), say("tokens-per-second"), say("prompt-tokens")
    )
    st.plotly_chart(figure, key=f"chart-{metric}", config=charts.BARE)


def how_measured(run: pd.Series, rows: pd.DataFrame) -> str:
    """What was done, on what machine, with which versions."""
    machine = run["machine"]
    return say(
        "how-measured",
        n=int(rows["n"].max()),
        device=", ".join(sorted(set(rows["device"]))),
        machine=machine.get("device", {}).get("name", ""),
        threads=machine.get("threads", "?"),
        versions=", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        code=run["code_version"],
        command=run["command"],
    )


def draw_table(rows: pd.DataFrame) -> None:
    """All numbers of the run."""
    names = [
        f"{metric} p{quantile * 100:.0f}" if pd.notna(quantile) else metric
        for metric, quantile in zip(rows["metric"], rows["quantile"], strict=True)
    ]
    table = rows.assign(metric=names)[["metric", "variant", "prompt", "value", "low", "high", "unit", "n"]]
    columns = {
        "metric": say("column-metric"),
        "variant": say("variant"),
        "prompt": say("prompt-tokens"),
        "value": st.column_config.NumberColumn(say("column-value"), format="%.4g"),
        "low": st.column_config.NumberColumn(say("column-low"), format="%.4g"),
        "high": st.column_config.NumberColumn(say("column-high"), format="%.4g"),
        "unit": say("column-unit"),
        "n": "n",
    }
    with st.expander(say("all-numbers")):
        st.dataframe(table, hide_index=True, column_config=columns)


main()
