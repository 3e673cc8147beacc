"""The part of the page Serve that measures servers under load: a form, charts, and the people that a server has time
for.
"""

import math
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from benchmarks.measure import wording
from benchmarks.report import charts, under_load
from benchmarks.serving.limits import Limits
from benchmarks.serving.people import Pace, People
from benchmarks.serving.window import SECONDS
from benchmarks.store.store import Store
from dashboard.jobs import measure_form, status
from dashboard.results import results, serving
from dashboard.results.serving import Loads
from dashboard.texts import say, together

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
LONGEST = 60.0  # seconds of a limit


def draw(may_start: bool) -> None:
    """Draw the form if visitors may start servers, the progress, and the results."""
    st.subheader(say("load-title"), anchor=False)
    st.caption(say("load-intro"))
    if may_start:
        _choose()
    status.watch()
    results.show(_draw_results)


def _choose() -> None:
    """Draw the form of the measurement, and its start button."""
    model, variants, able = measure_form.pick_subject("load", link="measured")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        clients = st.multiselect(say("load-clients"), [1, 2, 4, 8, 16, 32], [1, 2, 4, 8], width=220)
        prompts = st.multiselect(say("prompt-tokens"), [32, 128, 512, 1024], [32, 128, 512], width=220)
        answer = st.number_input(say("answer-tokens"), 8, 1024, 64, 8, width=160)
        repeats = st.number_input(say("repeats"), 1, 50, 5, width=130, help=say("load-repeats-help"))
        able = able and bool(clients and prompts)
        go = st.button(say("measure"), key="load-go", type="primary", icon=":material/groups:", disabled=not able)
    seconds = len(variants) * len(clients) * repeats * SECONDS
    st.caption(say("load-takes", minutes=math.ceil(seconds / 60)))
    if go:
        loads = ["--clients", _listed(clients), "--prompts", _listed(prompts)]
        measure_form.start_servers(model, variants, [*loads, "--answer-tokens", str(answer), "--repeats", str(repeats)])


def _listed(numbers: list[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def _draw_results(store: Store) -> None:
    """Draw the picked run, beside others of the same load if wanted."""
    runs = store.runs()
    run = results.pick_run(runs, "serve", say("load-empty"))
    if run is None:
        return
    runs = runs.set_index("id", drop=False)
    beside = st.multiselect(
        say("load-beside"),
        others := serving.comparable(runs, run),
        format_func=lambda name: f"{results.run_title(runs.loc[name])} · {', '.join(runs.loc[name, 'variants'])}",
        key=f"load-beside-{run.name}",
        disabled=not others,
        help=say("load-beside-help"),
    )
    titles = {name: serving.title(runs.loc[name]) for name in [str(run.name), *beside]}
    everything = serving.named(store.measurements(list(titles)), titles)
    rows = results.without_failures(everything, "serve")
    if rows.empty:
        st.info(say("run-empty", status=str(run["status"])), icon=":material/hourglass_empty:")
        return
    _draw_trade(under_load.numbers_of_clients(rows))
    samples = serving.named(store.samples(list(titles)), titles)
    found = serving.loads(samples, everything[everything["metric"] == "failure"])
    if found:
        limits = _pick_limits(run)
        _draw_clients(found, limits)
        _draw_people(found, limits, run)
        _draw_goodput(found, limits)
    st.caption(results.measured_on(run, rows))
    results.numbers(rows)


def _draw_trade(rows: pd.DataFrame) -> None:
    """Draw tokens per second of all clients against the time per token, and against the time to the first token."""
    if rows.empty:
        return
    chosen = st.segmented_control(say("load-quantile"), list(QUANTILES), default="p50", required=True, key="quantile")
    waits = {"time_per_token": say("load-tpot"), "ttft": say("load-ttft")}
    for metric, wait in waits.items():
        figure = under_load.trade(rows, metric, QUANTILES[str(chosen)], f"{wait}, {chosen}", say("load-work"))
        if figure is not None:
            st.plotly_chart(figure, key=f"chart-load-{metric}", config=charts.BARE)
    st.caption(say("load-how"))


def _pick_limits(run: pd.Series) -> Limits:
    """Let the visitor change the limits, at first those that the run was measured with."""
    st.subheader(say("load-many"), anchor=False)
    known = serving.limits_of(run)
    left, right = st.columns(2)
    first, each = min(known.ttft, LONGEST), 1000 * min(known.tpot, LONGEST)
    ttft = left.number_input(say("load-limit-ttft"), 0.01, LONGEST, first, 0.1, "%g", key=f"load-ttft-{run.name}")
    tpot = right.number_input(
        say("load-limit-tpot"), 1.0, 1000 * LONGEST, each, 10.0, "%g", key=f"load-tpot-{run.name}"
    )
    return Limits(float(ttft), float(tpot) / 1000)


def _draw_clients(found: Mapping[str, Loads], limits: Limits) -> None:
    """Draw a sentence per server: the largest measured number of clients within the limits."""
    for variant, of_server in found.items():
        if not of_server.clients:
            continue
        most, measured = of_server.most_clients(limits), sorted(of_server.clients)
        kind = "none" if not most else "largest" if most == measured[-1] else "some"
        numbers = ", ".join(map(str, measured))
        st.markdown(say("load-most", kind=kind, variant=variant, most=most, measured=numbers))
    st.caption(say("load-most-how"))


def _draw_goodput(found: Mapping[str, Loads], limits: Limits) -> None:
    """Draw the answers a second within the limits by number of clients, and the numbers behind them."""
    table = serving.within(found, limits)
    known = table.dropna(subset="goodput")
    if not known.empty:
        rows = known.assign(x=known["clients"], value=known["goodput"], low=None, high=None)
        rows = rows.astype({"low": float, "high": float})
        figure = charts.against(rows, say("load-goodput"), say("load-clients"))
        st.plotly_chart(figure, key="chart-load-goodput", config=charts.BARE)
        st.caption(say("load-goodput-how"))
    if len(known) < len(table):
        st.caption(":material/info: " + say("load-goodput-unknown"))
    number = st.column_config.NumberColumn
    columns = {
        "variant": say("variant"),
        "clients": say("load-clients"),
        "throughput": number(say("load-work"), format="%.1f"),
        "ttft": number(f"{say('load-ttft')}, p95, ms", format="%.0f"),
        "time_per_token": number(f"{say('load-tpot')}, p95, ms", format="%.1f"),
        "share": number(say("load-share"), format="percent"),
        "goodput": number(say("load-goodput"), format="%.3g"),
    }
    table = table.assign(ttft=1000 * table["ttft"], time_per_token=1000 * table["time_per_token"])
    st.dataframe(table, hide_index=True, column_config=columns)


def _draw_people(found: Mapping[str, Loads], limits: Limits, run: pd.Series) -> None:
    """Draw the number of people for each server, by the pace that the visitor gives them."""
    st.markdown(say("people-intro"))
    left, right = st.columns(2)
    reads = left.number_input(
        say("people-reads"), 0.5, 1000.0, 5.0, 0.5, "%g", key="people-reads", help=say("people-reads-help")
    )
    every = right.number_input(
        say("people-every"), 1, 86_400, 60, 10, key="people-every", help=say("people-every-help")
    )
    pace = Pace(float(reads), float(every), serving.answer_tokens(run))
    for variant, of_server in found.items():
        st.markdown(_people_line(variant, of_server.people(pace, limits)))
    shown = wording.quantity(1 / pace.reads, "s/token")
    st.caption(say("people-how", answer=pace.answer, cycle=f"{pace.cycle:.0f}", pace=shown))


def _people_line(variant: str, found: People) -> str:
    """A sentence: the people that a server has time for, and the level that it is computed from."""
    if not found.count:
        return say("people-none", variant=variant)
    if found.clients is not None:
        text = say("people-by-clients", variant=variant, count=found.count, clients=found.clients)
    else:
        text = say("people-by-rate", variant=variant, count=found.count, rate=f"{found.rate:g}")
    return together([text, say("people-largest")]) if found.is_largest else text
