"""What pages that show results share: the open store, the choice of a run, its failures and its numbers."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from benchmarks.report import report
from benchmarks.store.store import Store
from dashboard import page_frame, widgets
from dashboard.jobs import measure_form
from dashboard.jobs import status as watching
from dashboard.markup import bold, code, plain
from dashboard.results.store import store
from dashboard.texts import say
from fastglm.errors import FastGLMError

SUITES = {"latency": ("latency", "throughput"), "memory": ("memory",), "quality": ("quality",)}  # of a page
LISTED = 200  # runs to choose from, the newest: a list of ten thousand takes seconds to draw
METRICS = {  # that a page shows of a run, which may have measured more
    "latency": ("ttft", "prefill_rate", "decode_rate", "decode_latency", "acceptance", "throughput", "energy"),
    "memory": ("weights_memory", "cache_memory", "peak_memory"),
    "quality": ("skill_accuracy", "perplexity", "bits_per_byte", "kl_divergence", "top1_agreement"),
}


def page(title: str, intro: str, choose: Callable[[], None], draw: Callable[[Store], None]) -> None:
    """A page that measures: what to measure, how far that is, and below it what was measured."""
    page_frame.begin(title)
    st.caption(intro)
    choose()
    watching.watch()
    show(draw)


def show(draw: Callable[[Store], None]) -> None:
    """Draw from the results; where they cannot be read, say why in a line."""
    try:
        draw(store())
    except FastGLMError as error:
        st.error(plain(error), icon=":material/database_off:")


def pick_run(runs: pd.DataFrame, place: str, empty: str) -> pd.Series | None:
    """Let the visitor choose among the runs for the page `place`; where there is none, say `empty` and return None.

    It is the run that the address names, or else the newest; one that ends meanwhile is shown when it is there.
    """
    st.divider()
    measured = runs["suites"].map(lambda names: not set(SUITES[place]).isdisjoint(names)).to_numpy(bool)
    runs = runs.set_index("id")[measured]
    names = runs.index.tolist()
    linked = st.query_params.get("run")
    unknown = linked is not None and linked not in names
    if linked and unknown:
        st.warning(say("run-unknown", run=linked), icon=":material/link_off:")
    if runs.empty:
        st.info(empty, icon=":material/analytics:")
        return None
    is_new = st.session_state.get("newest-run", names[0]) != names[0]
    st.session_state["newest-run"] = names[0]
    offered = names[:LISTED] + ([linked] if linked in names[LISTED:] else [])
    chosen = st.selectbox(
        say("run"),
        offered,
        offered.index(linked) if linked in offered and not is_new else 0,
        format_func=lambda name: run_title(runs.loc[name]),
        key=f"run-{names[0]}",
        help=say("run-newest", count=LISTED) if len(names) > LISTED else None,
    )
    if not (unknown and chosen == names[0]):  # a link to what is not here stays, and is told of, until one is chosen
        st.query_params["run"] = chosen  # a bound widget would put the title there, in the visitor's language
    measure_form.offer_rest(runs.loc[chosen])
    return runs.loc[chosen]


def run_title(run: pd.Series) -> str:
    """When, what, and how it ended."""
    return f"{local_time(run['started']):%Y-%m-%d %H:%M} · {widgets.model_name(run['model'])} · {status(run['status'])}"


def local_time(moment: pd.Timestamp) -> pd.Timestamp:
    """The moment in the visitor's zone."""
    try:
        return moment.tz_convert(st.context.timezone or "UTC")
    except (KeyError, ValueError):  # a zone that this machine does not know
        return moment


def status(name: str) -> str:
    """How a run ended, in words."""
    words = {
        "done": say("status-done"),
        "cancelled": say("status-cancelled"),
        "failed": say("status-failed"),
        "running": say("status-running"),
        "interrupted": say("status-interrupted"),
    }
    return words.get(name, name)


def without_failures(rows: pd.DataFrame, place: str | None = None) -> pd.DataFrame:
    """The rows that are numbers, for the page `place` or all; what could not be measured is told in a line each."""
    failed = rows["metric"] == "failure"
    for params, variant in zip(rows["params"][failed], rows["variant"][failed], strict=True):
        if place is None or params.get("suite", place) in SUITES[place]:
            text = f"{bold(variant)}: {plain(params.get('error', params))}"
            st.warning(text, icon=":material/warning:")
    rows = rows[~failed]
    return rows if place is None else rows[rows["metric"].str.removesuffix("_ratio").isin(METRICS[place])]


def param(rows: pd.DataFrame, name: str) -> pd.Series:
    """One of the params of every row; None where it has none."""
    return pd.Series([params.get(name) for params in rows["params"]], rows.index, dtype=object)


def count(rows: pd.DataFrame, name: str) -> pd.Series:
    """One of the params of every row as a whole number; missing where it has none, or a file from elsewhere another."""
    found = [value if isinstance(value, int) and not isinstance(value, bool) else None for value in param(rows, name)]
    return pd.Series(found, rows.index, dtype="Int64")


def measured_on(run: pd.Series, rows: pd.DataFrame) -> str:
    """On what machine, with which versions and which command."""
    machine = run["machine"]
    return say(
        "measured-on",
        device=", ".join(sorted(set(rows["device"]))),
        machine=machine.get("device", {}).get("name", machine.get("cpu", "?")),
        threads=machine.get("threads", "?"),
        versions=", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        code=run["code_version"],
        command=code(run["command"]),
    )


def numbers(rows: pd.DataFrame) -> None:
    """All numbers of a run, which can be searched and downloaded as CSV."""
    names = [
        f"{metric} {report.words({'quantile': params['quantile']})}" if "quantile" in params else metric
        for metric, params in zip(rows["metric"], rows["params"], strict=True)
    ]
    details = [{name: value for name, value in params.items() if name != "quantile"} for params in rows["params"]]
    kinds = [report.kind(metric, params) for metric, params in zip(rows["metric"], details, strict=True)]
    table = rows.assign(metric=names, params=kinds)
    columns = {
        "metric": say("column-metric"),
        "variant": say("variant"),
        "params": say("column-params"),
        "value": st.column_config.NumberColumn(say("column-value"), format="%.4g"),
        "low": st.column_config.NumberColumn(say("column-low"), format="%.4g"),
        "high": st.column_config.NumberColumn(say("column-high"), format="%.4g"),
        "unit": say("column-unit"),
        "n": "n",
    }
    with st.expander(say("all-numbers")):
        st.dataframe(table[list(columns)], hide_index=True, column_config=columns)
