"""Latency: measure variants on this machine, and look at what was measured."""

import pandas as pd
import streamlit as st

from benchmarks.store import Store
from dashboard import charts, frame, measuring, results
from dashboard.texts import say
from fastglm.errors import FastGLMError


def main() -> None:
    """Draw the page."""
    frame.begin(say("latency"))
    st.caption(say("latency-intro"))
    choose()
    measuring.watch()
    try:
        draw_results(results.store())
    except FastGLMError as error:
        st.error(str(error), icon=":material/database_off:")


def choose() -> None:
    """What to measure, and the button that starts it."""
    model, variants, able = measuring.pick_subject("latency")
    with st.form("what", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        prompts = st.multiselect(say("prompt-tokens"), [16, 32, 64, 128, 256, 512, 1024], [32, 128], width=220)
        answer = st.number_input(say("answer-tokens"), 8, 1024, 64, 8, width=160)
        repeats = st.number_input(say("repeats"), 3, 50, 5, width=130, help=say("repeats-help"))
        go = st.form_submit_button(say("measure"), type="primary", icon=":material/speed:", disabled=not able)
    if go and prompts:
        options = ["--prompt-tokens", ",".join(map(str, sorted(prompts))), "--answer-tokens", str(answer)]
        measuring.start(model, variants, "latency", [*options, "--repeats", str(repeats)])


def draw_results(store: Store) -> None:
    """The run that the visitor picks: charts, sentence on how it was measured, and all numbers."""
    st.divider()
    run = results.pick_run(store.runs(), "latency")
    if run is None:
        st.info(say("latency-empty"), icon=":material/speed:")
        return
    rows = results.without_failures(store.measurements([str(run.name)]), "latency")
    rows = rows.assign(prompt=results.param(rows, "prompt_tokens").astype("Int64"))
    if rows.empty:
        st.info(say("run-empty"), icon=":material/hourglass_empty:")
        return
    draw_ratios(rows[rows["metric"] == "decode_rate_ratio"])
    decode, prefill = st.columns(2)
    with decode:
        draw_chart(rows, "decode_rate", say("decode"))
    with prefill:
        draw_chart(rows, "prefill_rate", say("prefill"))
    st.caption(say("how-measured", n=int(rows["n"].max())) + " " + results.measured_on(run, rows))
    results.numbers(rows)


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


main()
