"""Parts of the result pages: the open store, the choice of a run, its failures and its numbers."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from benchmarks.measure import noise, wording
from benchmarks.store.store import Store
from dashboard import captions, page_frame, widgets
from dashboard.jobs import measure_form
from dashboard.jobs import status as watching
from dashboard.markup import bold, code, plain
from dashboard.results.store import store
from dashboard.texts import say
from fastglm.errors import FastGLMError

# Suites that each page measures.
SUITES = {"latency": ("latency", "throughput"), "memory": ("memory",), "quality": ("quality",), "serve": ("serving",)}
LISTED = 200  # newest runs to choose from: a list of ten thousand takes seconds to draw
METRICS = {  # metrics on each page; a run may have more
    "latency": ("ttft", "prefill_rate", "decode_rate", "decode_latency", "acceptance", "throughput", "energy"),
    "memory": ("weights_memory", "cache_memory", "peak_memory"),
    "serve": (
        *("throughput", "request_rate", "goodput", "served_clients"),
        *("ttft", "time_per_token", "answer_time", "error_share"),
    ),
    "quality": ("skill_accuracy", "perplexity", "bits_per_byte", "kl_divergence", "top1_agreement"),
}


def page(title: str, intro: str, choose: Callable[[], None], draw: Callable[[Store], None]) -> None:
    """Draw a measuring page: the form, the progress, and below it the results."""
    page_frame.begin(title)
    st.caption(intro)
    choose()
    watching.watch()
    show(draw)


def show(draw: Callable[[Store], None]) -> None:
    """Draw from the results; if they cannot be read, give the reason in one line."""
    try:
        draw(store())
    except FastGLMError as error:
        st.error(plain(error), icon=":material/database_off:")


def pick_run(runs: pd.DataFrame, place: str, empty: str) -> pd.Series | None:
    """Let the visitor choose a run for the page `place`; without any, draw `empty` and return None.

    The first choice is the run in the address, otherwise the newest; a run that ends meanwhile appears once it is
    finished.
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
    if not (unknown and chosen == names[0]):  # a link to a missing run stays, with a message, until a run is chosen
        # A bound widget would put the title into the address, in the visitor's language.
        st.query_params["run"] = chosen
    measure_form.offer_rest(runs.loc[chosen])
    warn_of_servers(runs.loc[chosen])
    return runs.loc[chosen]


def warn_of_servers(run: pd.Series) -> None:
    """Draw a warning if a server disturbed the run."""
    found = {name: why for name, why in run["settings"].get("noise", {}).items() if name == "beside"}
    for remark in noise.remarks(found):
        st.warning(captions.words(remark), icon=":material/warning:")


def run_title(run: pd.Series) -> str:
    """A title of time, content and status."""
    return f"{local_time(run['started']):%Y-%m-%d %H:%M} · {widgets.model_name(run['model'])} · {status(run['status'])}"


def local_time(moment: pd.Timestamp) -> pd.Timestamp:
    """The time in the visitor's zone."""
    try:
        return moment.tz_convert(st.context.timezone or "UTC")
    except (KeyError, ValueError):  # a zone that this machine does not know
        return moment


def status(name: str) -> str:
    """The status of a run in words."""
    words = {
        "done": say("status-done"),
        "cancelled": say("status-cancelled"),
        "failed": say("status-failed"),
        "running": say("status-running"),
        "interrupted": say("status-interrupted"),
    }
    return words.get(name, name)


def without_failures(rows: pd.DataFrame, place: str | None = None) -> pd.DataFrame:
    """The rows with numbers, for the page `place` or all; failures are drawn as one line each."""
    failed = rows["metric"] == "failure"
    for params, variant in zip(rows["params"][failed], rows["variant"][failed], strict=True):
        if place is None or params.get("suite", place) in SUITES[place]:
            text = f"{bold(variant)}: {plain(params.get('error', params))}"
            st.warning(text, icon=":material/warning:")
    rows = rows[~failed]
    return rows if place is None else rows[rows["metric"].str.removesuffix("_ratio").isin(METRICS[place])]


def param(rows: pd.DataFrame, name: str) -> pd.Series:
    """One param of every row; None for rows without it."""
    return pd.Series([params.get(name) for params in rows["params"]], rows.index, dtype=object)


def count(rows: pd.DataFrame, name: str) -> pd.Series:
    """One param of every row as a whole number; missing for rows without it, or with another value in a foreign
    file.
    """
    found = [value if isinstance(value, int) and not isinstance(value, bool) else None for value in param(rows, name)]
    return pd.Series(found, rows.index, dtype="Int64")


def measured_on(run: pd.Series, rows: pd.DataFrame) -> str:
    """The machine, versions and command of a run."""
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
    """Draw all numbers of a run, with search and a download as CSV."""
    names = [
        f"{metric} {wording.words({'quantile': params['quantile']})}" if "quantile" in params else metric
        for metric, params in zip(rows["metric"], rows["params"], strict=True)
    ]
    details = [{name: value for name, value in params.items() if name != "quantile"} for params in rows["params"]]
    kinds = [wording.kind(metric, params) for metric, params in zip(rows["metric"], details, strict=True)]
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
