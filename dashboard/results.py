"""What pages that show results share: the open store, the choice of a run, its failures and its numbers."""

import pandas as pd
import streamlit as st

from benchmarks import report
from dashboard import answers, measuring, widgets
from dashboard.stored import store as store
from dashboard.texts import say


def pick_run(runs: pd.DataFrame, suite: str) -> pd.Series | None:
    """Let the visitor choose among the runs of a suite; None where there is none.

    It is the run that the address names, or else the newest; one that ends meanwhile is shown when it is there.
    """
    runs = runs.set_index("id")[runs["suites"].map(lambda suites: suite in suites).to_numpy(bool)]
    names = runs.index.tolist()
    linked = st.query_params.get("run")
    unknown = linked is not None and linked not in names
    if linked and unknown:
        st.warning(say("run-unknown", run=answers.harmless(linked)), icon=":material/link_off:")
    if runs.empty:
        return None
    is_new = st.session_state.get("newest-run", names[0]) != names[0]
    st.session_state["newest-run"] = names[0]
    chosen = st.selectbox(
        say("run"),
        names,
        names.index(linked) if linked in names and not is_new else 0,
        format_func=lambda name: run_title(runs.loc[name]),
        key=f"run-{names[0]}",
    )
    if not (unknown and chosen == names[0]):  # a link to what is not here stays, and is told of, until one is chosen
        st.query_params["run"] = chosen  # a bound widget would put the title there, in the visitor's language
    measuring.offer_rest(runs.loc[chosen])
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


def without_failures(rows: pd.DataFrame, suite: str | None = None) -> pd.DataFrame:
    """The rows that are numbers; a variant that could not be measured, in this suite or any, is told in a line."""
    failed = rows["metric"] == "failure"
    for params, variant in zip(rows["params"][failed], rows["variant"][failed], strict=True):
        if suite in (None, params.get("suite", suite)):
            text = answers.harmless(f"**{variant}**: {params.get('error', params)}")
            st.warning(text, icon=":material/warning:")
    return rows[~failed]


def param(rows: pd.DataFrame, name: str) -> pd.Series:
    """One of the params of every row; None where it has none."""
    return pd.Series([params.get(name) for params in rows["params"]], rows.index, dtype=object)


def measured_on(run: pd.Series, rows: pd.DataFrame) -> str:
    """On what machine, with which versions and which command."""
    machine = run["machine"]
    return say(
        "measured-on",
        device=", ".join(sorted(set(rows["device"]))),
        machine=machine.get("device", {}).get("name", ""),
        threads=machine.get("threads", "?"),
        versions=", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        code=run["code_version"],
        command=run["command"],
    )


def numbers(rows: pd.DataFrame) -> None:
    """All numbers of a run, which can be searched and downloaded as CSV."""
    names = [
        f"{metric} p{params['quantile'] * 100:.0f}" if "quantile" in params else metric
        for metric, params in zip(rows["metric"], rows["params"], strict=True)
    ]
    details = [{name: value for name, value in params.items() if name != "quantile"} for params in rows["params"]]
    table = rows.assign(metric=names, params=[report.words(params) for params in details])
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
