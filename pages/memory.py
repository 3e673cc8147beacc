"""Memory: measure the memory of variants, and see which card each fits."""

from typing import Any

import pandas as pd
import streamlit as st

from benchmarks.measure import wording
from benchmarks.report import charts as report_charts
from benchmarks.store.store import Store
from dashboard import charts, machine
from dashboard.jobs import measure_form
from dashboard.markup import Markdown, bold
from dashboard.results import card_fit, memory, results
from dashboard.results.memory import Need
from dashboard.texts import say, together
from fastglm.system.devices import DeviceCard
from fastglm.system.files import in_words
from fastglm.variants.need import CARDS


def choose() -> None:
    """Draw the form of the measurement, and its start button."""
    model, variants, able = measure_form.pick_subject("memory")
    with st.form("what", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        prompts = st.multiselect(say("prompt-tokens"), [16, 32, 64, 128, 256, 512, 1024], [32, 512], width=220)
        answer = st.number_input(say("answer-tokens"), 8, 1024, 64, 8, width=160)
        go = st.form_submit_button(say("measure"), type="primary", icon=":material/memory:", disabled=not able)
    if go and prompts:
        options = ["--prompt-tokens", ",".join(map(str, sorted(prompts))), "--answer-tokens", str(answer)]
        measure_form.start(model, variants, "memory", options)
    if able:
        card_fit.draw(model)


def draw_results(store: Store) -> None:
    """Draw the picked run: measured values, values computed from them, and all numbers."""
    run = results.pick_run(store.runs(), "memory", say("memory-empty"))
    if run is None:
        return
    everything = store.measurements([str(run.name)])
    short = memory.out_of_memory(everything)
    rows = results.without_failures(everything, "memory")
    needs = memory.needs(rows, memory.prefix_of(run["model"]))
    if not needs and not short:
        st.info(say("run-empty", status=str(run["status"])), icon=":material/hourglass_empty:")
        return
    draw_parts([needs.get(name, Need(name, 0.0)) for name in dict.fromkeys([*needs, *short])], short)
    if any(need.token for need in needs.values()):
        draw_reach(run, rows, [need for need in needs.values() if need.token], short)
    if not rows.empty:
        st.caption(results.measured_on(run, rows))
        results.numbers(rows)


def draw_parts(needs: list[Need], short: list[str]) -> None:
    """Draw the parts of each variant's memory as stacked bars."""
    st.subheader(say("memory-parts"), anchor=False)
    factor, unit = wording.size(max(sum(need.parts) for need in needs), "bytes")
    titles = (say("memory-weights"), say("memory-cache"), say("memory-rest"))
    parts = {title: [need.parts[i] * factor for need in needs] for i, title in enumerate(titles)}
    figure = report_charts.stacked(parts, [need.variant for need in needs], unit)
    if short:
        charts.failing(figure, short, say("out-of-memory"))
    st.plotly_chart(figure, key="chart-parts", config=report_charts.BARE)
    st.caption(say("memory-how"))


def draw_reach(run: pd.Series, rows: pd.DataFrame, needs: list[Need], short: list[str]) -> None:
    """Draw computed values: memory over context length, and the variants that fit the card at hand."""
    st.subheader(say("memory-reach"), anchor=False)
    peaks = memory.peaks(rows)
    limit = max(memory.context_of(run["model"]), int(peaks["x"].max()) if len(peaks) else 0, 2 * memory.STEP)
    limit = min(limit, memory.LONGEST)
    left, right = st.columns(2)
    context = left.slider(say("context"), memory.STEP, limit, limit, memory.STEP, key="context", bind="query-params")
    batch = right.slider(say("batch"), 1, 32, 1, key="batch", bind="query-params", help=say("batch-help"))
    card = machine.device()
    table = memory.fit(needs, context, batch, limit, card.memory_total if card else None)
    if card:
        draw_fit(table[~table["variant"].isin(short)], in_words(card.memory_total), context, batch, limit)
    draw_lines(memory.lines(needs, limit, batch), peaks if batch == 1 else peaks.iloc[:0], context, card)
    st.caption(together([say("memory-computed"), say("memory-points", batch=batch)]))
    measured_on = sorted({device.partition(":")[0] for device in rows["device"]})
    if card and measured_on != [card.kind]:
        st.caption(":material/info: " + say("memory-elsewhere", device=", ".join(measured_on), kind=card.kind))
    draw_table(table, short)


def draw_fit(table: pd.DataFrame, total: str, context: int, batch: int, limit: int) -> None:
    """Draw sentences: the variants that fit the card at hand, each with its longest context there."""
    place = {"memory": total, "context": str(context), "batch": batch}
    fitting, others = (table["variant"][table["fits"] == fits].tolist() for fits in (True, False))
    if fitting:
        st.markdown(say("memory-fits", variants=listed(fitting), count=len(fitting), **place))
    if others:
        st.markdown(say("memory-fits-not", variants=listed(others), count=len(others), **place))
    longest = [f"{bold(row.variant)} {row.longest}" for row in table.itertuples()]
    if longest:
        st.markdown(say("memory-longest", each=Markdown(say("comma").join(longest)), limit=str(limit), batch=batch))


def listed(variants: list[str]) -> Markdown:
    """Names in bold with commas between."""
    return Markdown(say("list-comma").join(map(bold, variants)))


def draw_lines(lines: pd.DataFrame, points: pd.DataFrame, context: int, card: DeviceCard | None) -> None:
    """Draw memory over context length, with lines for cards and for this machine unless far above."""
    top = max([*lines["value"], *points["value"]])
    factor, unit = wording.size(top, "bytes")
    cards = {f"{gigabytes} GB": gigabytes * 1e9 * factor for gigabytes in memory.cards_in_view(top)}
    if not cards:
        st.caption(say("memory-below", card=f"{CARDS[0]} GB"))
    here = {}
    if card and card.memory_total <= 2 * top:
        here[say("this-machine", memory=in_words(card.memory_total))] = card.memory_total * factor
    lines, points = (table.assign(value=table["value"] * factor) for table in (lines, points))
    figure = charts.reach(lines, points, {"right": cards, "left": here}, context, unit, say("context"))
    st.plotly_chart(figure, key="chart-reach", config=report_charts.BARE)


def draw_table(table: pd.DataFrame, short: list[str]) -> None:
    """Draw the values computed for the chosen context and batch, a line per variant."""
    words = table["fits"].map({True: say("fits"), False: say("fits-not")})
    shown = table.assign(fits=words.mask(table["variant"].isin(short), say("out-of-memory")))
    columns: dict[str, Any] = {
        "variant": say("variant"),
        "need": st.column_config.NumberColumn(say("column-need"), format="%.0f MB"),
        "token": st.column_config.NumberColumn(say("column-token"), format="%.1f kB"),
        "fits": say("column-fits"),
        "longest": say("column-longest"),
    }
    shown = shown.assign(need=shown["need"] / 1e6, token=shown["token"] / 1e3).dropna(axis="columns", how="all")
    st.dataframe(shown, hide_index=True, column_config=columns)


results.page(say("memory"), say("memory-intro"), choose, draw_results)
