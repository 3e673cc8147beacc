"""History: all runs, one run alone, two runs compared, a metric over the code versions; upload and download."""

from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from benchmarks.environment import run_facts
from benchmarks.measure.measurement import METRICS
from benchmarks.measure.wording import quantity, words
from benchmarks.report import charts
from benchmarks.report.compare import Comparison, Line, compare
from benchmarks.store.store import Store
from dashboard import captions, page_frame
from dashboard.markup import plain
from dashboard.results import deleted_runs, exchange, results, runs, trend
from dashboard.texts import say
from fastglm.errors import UsageError

MARKS = {"better": "circle", "worse": "x", "undecided": "circle-open", "equal": "circle-open"}


def main() -> None:
    """Draw the page."""
    page_frame.begin(say("history"))
    st.caption(say("history-intro"))
    results.show(draw)


def draw(store: Store) -> None:
    """Draw the runs, the buttons for the selected ones, and the upload."""
    deleted_runs.tell(store)
    kept = store.runs()
    if kept.empty:
        st.info(say("history-empty"), icon=":material/history:")
    else:
        found = runs.find(kept)
        names = runs.pick(kept, found)
        chosen = kept[kept["id"].isin(names)]
        act(store, chosen, kept[found])
        if len(chosen) == 1:
            draw_one(store, chosen.iloc[0])
        elif len(chosen) == 2:
            draw_two(store, *chosen["id"][::-1])
        else:
            st.info(say("history-select"), icon=":material/check_box:")
        st.divider()
        trend.draw(store, kept)
    st.divider()
    exchange.take_in(store)
    deleted_runs.draw(store)


def act(store: Store, chosen: pd.DataFrame, found: pd.DataFrame) -> None:
    """Draw the buttons that download the selected runs, or else all that pass the filters, and delete the selected
    ones.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = found if chosen.empty else chosen
        if len(wanted):
            exchange.offer(store, wanted["id"].tolist())
        deleted_runs.offer(store, chosen)


def draw_one(store: Store, run: pd.Series) -> None:
    """Draw a run's facts, numbers and report."""
    st.subheader(plain(results.run_title(run)), anchor=False)
    facts = {str(name): value for name, value in run.items()}
    for remark in run_facts.remarks(facts):
        st.caption(":material/info: " + captions.words(remark))
    rows = results.without_failures(store.measurements([run["id"]]))
    with st.expander(say("facts")):
        draw_facts(run_facts.facts(facts))
    if rows.empty:
        st.info(say("run-empty", status=str(run["status"])), icon=":material/hourglass_empty:")
        return
    results.numbers(rows)
    name = f"{run['id']}.html"
    st.download_button(
        say("html-report"), exchange.report(store, run), name, "text/html", on_click="ignore", icon=":material/article:"
    )


def draw_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Draw names and texts literally."""
    titles = {
        "run": say("run"),
        "model": say("model"),
        "when": say("column-when"),
        "status": say("column-status"),
        "variants": say("variants"),
        "suites": say("column-suites"),
        "settings": say("fact-settings"),
        "machine": say("column-machine"),
        "versions": say("fact-versions"),
        "code": say("column-code"),
        "command": say("fact-command"),
    }
    lines = (f"<b>{escape(titles.get(name, name))}</b>: {escape(text)}" for name, text in facts)
    st.html(f'<div style="overflow-wrap: anywhere">{"<br>".join(lines)}</div>')


def draw_two(store: Store, a: str, b: str) -> None:
    """Draw the metrics in which B, the later run, is better or worse than A."""
    st.subheader(say("two-runs"), anchor=False)
    try:
        comparison = compare(store, a, b)
    except UsageError as error:
        st.warning(plain(error), icon=":material/compare_arrows:")
        return
    st.markdown(f"**A**: {plain(comparison.a)}  \n**B**: {plain(comparison.b)}")
    draw_lines(comparison)
    for failure in comparison.failures:
        st.warning(captions.words(failure), icon=":material/warning:")
    for note in comparison.notes:
        st.caption(":material/info: " + captions.words(note))


def draw_lines(comparison: Comparison) -> None:
    """Draw the number of each verdict, a chart of ratios, and a table of everything."""
    verdicts = [line.verdict for line in comparison.lines]
    if not verdicts:
        return
    counts = {name: verdicts.count(name) for name in ("better", "worse", "undecided", "equal")}
    st.markdown(say("verdicts", **counts))
    rows = pd.DataFrame([row(line) for line in comparison.lines]).astype({"low": float, "high": float})
    figure = charts.ratios(rows, say("two-axis"))
    st.plotly_chart(figure, key="chart-ratios", config=charts.BARE)
    st.caption(say("two-how"))
    columns: dict[str, Any] = {
        "metric": say("column-metric"),
        "params": say("column-params"),
        "variant": say("variant"),
        "a": "A",
        "b": "B",
        "value": st.column_config.NumberColumn("B / A", format="%.3f"),
        "low": st.column_config.NumberColumn(say("column-low"), format="%.3f"),
        "high": st.column_config.NumberColumn(say("column-high"), format="%.3f"),
        "n": "n",
        "verdict": say("column-verdict"),
    }
    st.dataframe(rows[list(columns)], hide_index=True, column_config=columns)


def row(line: Line) -> dict[str, object]:
    """A line for the table and the chart."""
    unit, params, variant = METRICS[line.metric].unit, words(line.params), line.variants[1]
    verdicts = {
        "better": say("verdict-better"),
        "worse": say("verdict-worse"),
        "undecided": say("verdict-undecided"),
        "equal": say("verdict-equal"),
    }
    return {
        "metric": line.metric,
        "params": params,
        "variant": variant,
        "a": quantity(line.a, unit),
        "b": quantity(line.b, unit),
        "value": line.ratio.value,
        "low": line.ratio.low,
        "high": line.ratio.high,
        "n": line.ratio.n,
        "verdict": verdicts[line.verdict],
        "mark": MARKS[line.verdict],
        "group": f"{line.metric}\n{', '.join(text for text in (variant, params) if text)}",
    }


main()
