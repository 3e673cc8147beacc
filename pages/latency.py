"""Latency: measure variants on this machine; times and rates, their spread, and the limit that memory sets."""

from collections.abc import Iterator

import pandas as pd
import streamlit as st

from benchmarks.measure import wording
from benchmarks.report import charts as report_charts
from benchmarks.store.store import Store
from dashboard import charts
from dashboard.jobs import measure_form
from dashboard.markup import Markdown, bold
from dashboard.results import latency, results
from dashboard.texts import say


def choose() -> None:
    """Draw the form of the measurement, and its start button."""
    model, variants, able = measure_form.pick_subject("latency")
    with st.form("what", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        prompts = st.multiselect(say("prompt-tokens"), [16, 32, 64, 128, 256, 512, 1024], [32, 128], width=220)
        answer = st.number_input(say("answer-tokens"), 8, 1024, 64, 8, width=160)
        repeats = st.number_input(say("repeats"), 3, 50, 5, width=130, help=say("repeats-help"))
        go = st.form_submit_button(say("measure"), type="primary", icon=":material/speed:", disabled=not able)
    if go and prompts:
        options = ["--prompt-tokens", ",".join(map(str, sorted(prompts))), "--answer-tokens", str(answer)]
        measure_form.start(model, variants, "latency", [*options, "--repeats", str(repeats)])


def draw_results(store: Store) -> None:
    """Draw the picked run: charts, a sentence on its conditions, and all numbers."""
    run = results.pick_run(store.runs(), "latency", say("latency-empty"))
    if run is None:
        return
    rows = results.without_failures(store.measurements([str(run.name)]), "latency")
    rows = rows.assign(prompt=results.count(rows, "prompt_tokens"))
    if rows.empty:
        st.info(say("run-empty", status=str(run["status"])), icon=":material/hourglass_empty:")
        return
    known = rows.dropna(subset="prompt")
    draw_ratios(known[known["metric"] == "decode_rate_ratio"])
    left, right = st.columns(2)
    with left:
        draw_rate(known, "decode_rate", say("decode"))
        draw_first(known)
    with right:
        draw_rate(known, "prefill_rate", say("prefill"))
        draw_throughput(known[known["metric"] == "throughput"])
        draw_floors(run, latency.floors(run, known))
    draw_token_times(store, str(run.name), latency.quantiles(known))
    counts = rows["n"][rows["metric"].isin(["ttft", "prefill_rate", "decode_rate"])]
    if not counts.empty:
        answers = " – ".join(str(count) for count in sorted({counts.min(), counts.max()}))
        st.caption(say("how-measured", n=answers))
    st.caption(results.measured_on(run, rows))
    results.numbers(rows)


def draw_ratios(rows: pd.DataFrame) -> None:
    """Draw a sentence per variant: its speed relative to the baseline, after prompts of each length."""
    for variant, baseline, ratios in compared(rows):
        st.markdown(say("ratios", variant=variant, baseline=baseline, ratios=ratios))


def compared(rows: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Yield variant, baseline, and the ratio in words after prompts of each length."""
    for variant, part in rows.groupby("variant", sort=False):
        ratios = []
        for row in part.itertuples():
            interval = say("interval", low=f"{row.low:.2f}", high=f"{row.high:.2f}") if pd.notna(row.low) else ""
            ratios.append(say("ratio", ratio=f"{row.value:.2f}", interval=interval, prompt=str(row.prompt)))
        yield str(variant), str(part["params"].iloc[0].get("baseline", "?")), Markdown(say("comma").join(ratios))


def draw_rate(rows: pd.DataFrame, metric: str, title: str) -> None:
    """Draw bars of a metric, by prompt length and variant."""
    part = rows[rows["metric"] == metric]
    if part.empty:
        return
    st.subheader(title, anchor=False)
    figure = report_charts.measured(
        part.assign(group=part["prompt"].astype(str)), say("tokens-per-second"), say("prompt-tokens")
    )
    st.plotly_chart(figure, key=f"chart-{metric}", config=report_charts.BARE)


def draw_first(rows: pd.DataFrame) -> None:
    """Draw the time to the first token by prompt length, and its ratios to the baseline's."""
    part = rows[rows["metric"] == "ttft"]
    if part.empty:
        return
    st.subheader(say("first-token"), anchor=False)
    part, unit = latency.scaled(part)
    if part["prompt"].nunique() > 1:
        figure = report_charts.against(part.assign(x=part["prompt"].astype(int)), unit, say("prompt-tokens"))
    else:
        figure = charts.spans(part.assign(group=part["variant"]), unit, zero=True)
    st.plotly_chart(figure, key="chart-ttft", config=report_charts.BARE)
    if part["prompt"].nunique() == 1:
        st.caption(say("first-token-one", prompt=str(part["prompt"].iloc[0])))
    for variant, baseline, ratios in compared(rows[rows["metric"] == "ttft_ratio"]):
        st.caption(say("first-token-ratios", variant=variant, baseline=baseline, ratios=ratios))


def draw_throughput(rows: pd.DataFrame) -> None:
    """Draw tokens per second of all sequences by the number of sequences, for the shortest measured prompt."""
    rows = rows.assign(x=results.count(rows, "batch")).dropna(subset="x")
    rows = rows[rows["prompt"] == rows["prompt"].min()]
    if rows.empty:
        return
    st.subheader(say("throughput"), anchor=False)
    figure = report_charts.against(rows.assign(x=rows["x"].astype(int)), say("tokens-per-second"), say("batch"))
    st.plotly_chart(figure, key="chart-throughput", config=report_charts.BARE)
    answer = results.count(rows, "answer_tokens").iloc[0]
    st.caption(say("throughput-how", prompt=str(rows["prompt"].iloc[0]), answer=str(answer)))


def draw_floors(run: pd.Series, rows: pd.DataFrame) -> None:
    """Draw the speed of each variant relative to the limit of memory bandwidth, if the run knows it."""
    if rows.empty:
        return
    st.subheader(say("floor"), anchor=False)
    st.plotly_chart(
        charts.spans(rows, say("floor-axis"), ".0%", zero=True), key="chart-floor", config=report_charts.BARE
    )
    each = [f"{bold(row.variant)} {wording.quantity(row.least, 's/token')}" for row in rows.itertuples()]
    speed = wording.quantity(latency.bandwidth(run) or 0.0, "bytes/s")
    prompt = str(rows["prompt"].iloc[0])
    st.caption(say("floor-how", speed=speed, each=Markdown(say("comma").join(each)), prompt=prompt))


def draw_token_times(store: Store, run: str, rows: pd.DataFrame) -> None:
    """Draw the spread of token times after prompts of a length: three quantiles, and all times."""
    lengths = [str(prompt) for prompt in sorted(rows["prompt"].unique())]
    if not lengths:
        return
    st.subheader(say("token-times"), anchor=False)
    chosen = lengths[0]
    if len(lengths) > 1:
        chosen = str(st.selectbox(say("prompt-tokens"), lengths, key="after", bind="query-params", width=160))
    part, unit = latency.scaled(rows[rows["prompt"] == int(chosen)])
    left, right = st.columns(2)
    left.plotly_chart(charts.spans(part, unit, zero=True), key="chart-quantiles", config=report_charts.BARE)
    left.caption(say("token-times-quantiles"))
    times, unit = latency.token_times(store.samples([run], "decode_latency"), int(chosen))
    if times:
        right.plotly_chart(
            report_charts.shares(times, unit, say("share-of-tokens")), key="chart-times", config=report_charts.BARE
        )
        right.caption(say("token-times-all"))


results.page(say("latency"), say("latency-intro"), choose, draw_results)
