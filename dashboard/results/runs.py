"""All runs as a table with filters and selectable rows; the address contains both."""

import zlib
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

import pandas as pd
import streamlit as st

from benchmarks.environment.run_facts import machine_name
from dashboard.results import results
from dashboard.texts import say

SHOWN = 1000  # rows of a table; the filters find the others


def find(runs: pd.DataFrame) -> pd.Series:
    """Draw the filters; returns a mask of the runs that pass."""
    where = runs["machine"].map(machine_name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            say("history-search"), key="search", bind="query-params", width=220, help=say("history-search-help")
        )
        models = _filter("model", say("model"), runs["model"])
        suites = _filter("suite", say("column-suites"), chain(*runs["suites"]))
        machines = _filter("machine", say("column-machine"), where)
        states = _pick_states(runs["status"])
    found = pd.Series(True, runs.index)
    for wanted, column in ((models, runs["model"]), (machines, where), (states, runs["status"])):
        if wanted:
            found &= column.isin(wanted)
    if suites:
        found &= pd.Series([not set(suites).isdisjoint(measured) for measured in runs["suites"]], runs.index)
    if text.strip():
        found &= _mentioning(runs, where, text)
    return found


def pick(runs: pd.DataFrame, found: pd.Series) -> list[str]:
    """Let the visitor select runs, newest first; runs in the address are selected, whatever the filters."""
    linked = st.query_params.get_all("runs")
    if missing := [name for name in linked if name not in set(runs["id"])]:
        unknown = ", ".join(missing)
        st.warning(say("history-unknown", runs=unknown, count=len(missing)), icon=":material/link_off:")
    newest = set(runs["id"][found].head(SHOWN))
    shown = runs[runs["id"].isin(newest.union(linked))]
    before = [name for name in shown["id"] if name in linked]
    chosen = select(shown, "runs", before)
    if chosen != before:
        st.query_params["runs"] = chosen
    count = int(found.sum())
    st.caption(say("history-count", found=count, all=len(runs), shown=min(count, SHOWN), hidden=max(count - SHOWN, 0)))
    return chosen


def select(runs: pd.DataFrame, name: str, chosen: Collection[str] = ()) -> list[str]:
    """Draw a table with selectable rows, initially those of `chosen`; returns the ids of the selected runs."""
    ids = runs["id"].tolist()
    columns = {
        "when": say("column-when"),
        "model": say("model"),
        "variants": say("variants"),
        "suites": say("column-suites"),
        "where": say("column-machine"),
        "code_version": say("column-code"),
        "status": say("column-status"),
    }
    table = runs.assign(
        when=[f"{results.local_time(moment):%Y-%m-%d %H:%M}" for moment in runs["started"]],
        variants=runs["variants"].map(", ".join),
        suites=runs["suites"].map(", ".join),
        where=runs["machine"].map(machine_name),
        status=runs["status"].map(results.status),
    )
    state: Any = st.dataframe(
        table[list(columns)],
        hide_index=True,
        column_config=columns,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [row for row, run in enumerate(ids) if run in chosen]}},
        # The selection holds row numbers, so other rows need another table.
        key=f"{name}-{zlib.crc32(' '.join(ids).encode())}",
    )
    return [ids[row] for row in sorted(state["selection"]["rows"]) if row < len(ids)]


def _filter(name: str, label: str, values: Iterable[str]) -> list[str]:
    return st.multiselect(label, sorted(set(values)), key=name, bind="query-params", width=220, placeholder=say("any"))


def _pick_states(values: Iterable[str]) -> list[str]:
    """Like `_filter`, with options in the visitor's language, which addresses do not contain."""
    options = sorted(set(values))
    linked = [name for name in st.query_params.get_all("status") if name in options]
    chosen = st.multiselect(
        say("column-status"),
        options,
        linked,
        format_func=results.status,
        key="history-status",
        width=220,
        placeholder=say("any"),
    )
    st.query_params["status"] = chosen
    return chosen


def _mentioning(runs: pd.DataFrame, where: pd.Series, text: str) -> pd.Series:
    """Mark the runs that contain every word of a text in any field, ignoring case."""
    texts = runs["id"] + " " + runs["model"] + " " + runs["code_version"] + " " + runs["command"] + " " + where
    texts = (texts + " " + runs["variants"].map(" ".join) + " " + runs["suites"].map(" ".join)).str.lower()
    return pd.concat([texts.str.contains(word, regex=False) for word in text.lower().split()], axis=1).all(axis=1)
