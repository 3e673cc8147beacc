"""One metric from run to run, with changes of the code."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import pandas as pd
import streamlit as st

from benchmarks.environment.run_facts import machine_name
from benchmarks.measure import wording
from benchmarks.measure.measurement import METRICS, Params
from benchmarks.report import charts
from benchmarks.store.store import Store
from dashboard.captions import meaning
from dashboard.results import results
from dashboard.texts import say

RUNS = 1000  # newest runs to look at
POINTS = 200  # newest runs to draw
ALL = "–"  # stands for missing params


def draw(store: Store, runs: pd.DataFrame) -> None:
    """Let the visitor choose a metric, and draw its values over the runs."""
    st.subheader(say("trend"), anchor=False)
    with st.container(horizontal=True):
        model = _select("trend-model", say("model"), runs["model"])
        runs = runs[runs["model"] == model]
        runs = runs.assign(where=runs["machine"].map(machine_name))
        where = _select("trend-machine", say("column-machine"), runs["where"])
        runs = runs[runs["where"] == where].head(RUNS)
        variant = _select("trend-variant", say("variant"), chain(*runs["variants"]))
        metrics = _metrics(store, runs)
        if not metrics:
            st.info(say("trend-empty"), icon=":material/hourglass_empty:")
            return
        metric = _select("trend-metric", say("column-metric"), metrics, "decode_rate")
        rows = store.measurements(runs["id"].tolist(), metric)
        rows = rows[rows["variant"] == variant]
        kinds = rows["params"].map(lambda params: _kind(metric, params))
        kind = _select("trend-params", say("column-params"), kinds) if kinds.nunique() > 1 else None
    rows = rows if kind is None else rows[kinds == kind]
    if rows.empty:
        st.info(say("trend-empty"), icon=":material/hourglass_empty:")
    else:
        _draw(_over_time(rows, runs), metric, where)


def _draw(rows: pd.DataFrame, metric: str, where: str) -> None:
    """Draw the chart, its conditions and its numbers."""
    ends = ["value", "low", "high"]
    factor, unit = wording.size(rows["value"].max(), rows["unit"].iloc[0])
    figure = charts.course(rows.assign(**{name: rows[name] * factor for name in ends}), unit, say("trend-axis"))
    st.plotly_chart(figure, key="chart-trend", config=charts.BARE)
    st.caption(say("trend-how", machine=where, metric=metric, meaning=meaning(metric)))
    titles = (say("column-value"), say("column-low"), say("column-high"))
    columns: dict[str, Any] = {
        "when": say("column-when"),
        "run": say("run"),
        "version": say("column-code"),
        **{name: st.column_config.NumberColumn(title, format="%.4g") for name, title in zip(ends, titles, strict=True)},
        "unit": say("column-unit"),
        "n": "n",
    }
    with st.expander(say("all-numbers")):
        st.dataframe(rows[list(columns)], hide_index=True, column_config=columns)


def _metrics(store: Store, runs: pd.DataFrame) -> list[str]:
    """The metrics of the newest runs of each kind, in the order of the list of metrics."""
    newest = runs.groupby(runs["suites"].map(tuple)).head(3)
    measured = set(store.measurements(newest["id"].tolist())["metric"]) - {"failure"}
    return [name for name in METRICS if name in measured] + sorted(measured - METRICS.keys())


def _over_time(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The newest rows, oldest first, with `when` and `version` of their runs."""
    rows = rows.join(runs.set_index("id")[["started", "code_version"]], on="run").sort_values("started", kind="stable")
    rows = rows.tail(POINTS)
    when = [f"{results.local_time(moment):%Y-%m-%d %H:%M}" for moment in rows["started"]]
    rows = rows.assign(when=when, version=rows["code_version"])
    return rows.astype({"low": float, "high": float})


def _kind(metric: str, params: Params) -> str:
    """Params as an option; equal if values are comparable."""
    baseline = f"× {params['baseline']}" if "baseline" in params else ""
    return ", ".join(text for text in (wording.kind(metric, params), baseline) if text) or ALL


def _select(name: str, label: str, options: Iterable[str], first: str = "") -> str:
    choices = list(dict.fromkeys(options))
    index = choices.index(first) if first in choices else 0
    return str(st.selectbox(label, choices, index, key=name, bind="query-params", width=220))
