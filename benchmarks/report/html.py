"""The report of a run as one self-contained HTML file: text, tables and charts with plotly.js inside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from benchmarks.captions import meaning
from benchmarks.environment import run_facts
from benchmarks.measure import wording
from benchmarks.measure.measurement import Measurement, params_text
from benchmarks.report import charts, report, under_load

MEMORY = ("weights_memory", "cache_memory", "peak_memory")
TEMPLATE = Path(__file__).with_name("html.jinja")


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with a heading and a line about its content."""

    title: str
    caption: str
    figure: go.Figure


def page(run: Mapping[str, Any], measurements: Sequence[Measurement], samples: pd.DataFrame) -> str:
    """The whole file. `run` is a row of `Store.runs()`, `samples` are the run's of `Store.samples()`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE.name).render(
        run=run,
        facts=run_facts.facts(run),
        remarks=[*map(str, run_facts.remarks(run)), *report.failures(measurements)],
        header=report.HEADER,
        rows=report.rows(measurements),
        meanings={row.metric: meaning(row.metric) for row in measurements},
        charts=[
            (chart.title, chart.caption, _drawn(chart.figure, f"chart-{number}"))
            for number, chart in enumerate(draw(measurements, samples))
        ],
        plotly=Markup(get_plotlyjs()),  # plotly's own file
    )


def _drawn(figure: go.Figure, name: str) -> Markup:
    """The figure as a `div`; plotly writes `<`, `>` and `/` of its texts as JSON escapes."""
    options = {**charts.BARE, "responsive": True}
    return Markup(figure.to_html(config=options, include_plotlyjs=False, full_html=False, div_id=name))


def _frame(measurements: Sequence[Measurement]) -> pd.DataFrame:
    """The table behind the charts; `group` describes a number's params in words."""
    rows = [
        {
            "metric": row.metric,
            "variant": row.variant,
            "group": wording.words(row.params),
            "params": row.params,
            "unit": row.unit,
            "value": row.value,
            "low": row.low,
            "high": row.high,
        }
        for row in measurements
        if row.metric != "failure"
    ]
    return pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})


def draw(measurements: Sequence[Measurement], samples: pd.DataFrame) -> Iterator[Chart]:
    """Servers under load first, then ratios, then every metric of the run in the order measured; all memory in one
    chart.
    """
    rows = _frame(measurements)
    yield from _under_load(rows)
    metrics = sorted(rows["metric"].unique(), key=lambda metric: not metric.endswith("_ratio"))
    for metric in metrics:
        part = rows[rows["metric"] == metric]
        if metric == "skill_accuracy":
            part = part[[len(params) < 2 for params in part["params"]]]
        if metric.endswith("_ratio"):
            yield _ratio(metric, part)
        elif metric not in MEMORY:
            yield Chart(_title(metric), meaning(metric), _measured(part))
        if metric == "decode_latency":
            yield from _token_times(samples[samples["metric"] == metric])
    if not rows[rows["metric"].isin(MEMORY)].empty:
        yield _memory(rows)


def _measured(part: pd.DataFrame) -> go.Figure:
    """Values with intervals: lines over the prompt's length if only the length varies, otherwise bars."""
    factor, unit = wording.size(part["value"].max(), part["unit"].iloc[0])
    columns = ["value", "low", "high"]
    part = part.assign(**{name: part[name] * factor for name in columns})
    lengths = [params.get("prompt_tokens") for params in part["params"]]
    if part["metric"].iloc[0] == "ttft" and None not in lengths:
        return charts.against(part.assign(x=lengths), unit, "prompt tokens")
    return charts.measured(part, unit, "")


def _ratio(metric: str, part: pd.DataFrame) -> Chart:
    baseline = str(part["params"].iloc[0].get("baseline", "?"))
    figure = charts.measured(part, f"× {baseline}", "")
    figure.add_hline(y=1, line={"color": charts.colour(baseline), "dash": "dash"})
    return Chart(f"{_title(metric.removesuffix('_ratio'))}, over that of {baseline}", meaning(metric), figure)


def _token_times(samples: pd.DataFrame) -> Iterator[Chart]:
    """A chart for each prompt length with the distribution of single tokens' times."""
    for _, part in samples.groupby(samples["params"].map(params_text), sort=False):
        times = {str(variant): list(chain(*found)) for variant, found in part.groupby("variant", sort=False)["values"]}
        factor, unit = wording.size(max(map(max, times.values())), "s/token")
        times = {variant: [time * factor for time in found] for variant, found in times.items()}
        title = f"Times of single tokens, {wording.words(part['params'].iloc[0])}"
        yield Chart(title, "share of tokens that took at most so long", charts.shares(times, unit, "share"))


def _under_load(rows: pd.DataFrame) -> Iterator[Chart]:
    """Throughput of servers by number of clients, and against the time to the first token."""
    rows = under_load.numbers_of_clients(rows)
    rates = rows[rows["metric"] == "throughput"]
    if rates.empty:
        return
    figure = charts.against(rates.assign(x=rates["clients"]), "tokens/s", "clients")
    yield Chart("Throughput by number of clients", meaning("throughput"), figure)
    trade = under_load.trade(rows, "ttft", 0.95, "time to the first token, p95", "tokens/s")
    if trade is not None:
        caption = "numbers are clients: higher is more work at a time, further left is less waiting"
        yield Chart("Throughput against the time to the first token", caption, trade)


def _memory(rows: pd.DataFrame) -> Chart:
    """The largest value of each kind, stacked: weights, cache and the rest of the peak."""
    table = rows[rows["metric"].isin(MEMORY)].pivot_table("value", "variant", "metric", aggfunc="max", sort=False)
    table = table.reindex(columns=MEMORY).fillna(0.0)
    weights, cache, peak = (table[metric] for metric in MEMORY)
    parts = {"weights": weights, "KV cache": cache, "all else at the peak": (peak - weights - cache).clip(lower=0)}
    factor, unit = wording.size(max(peak.max(), weights.max()), "bytes")
    scaled = {name: (part * factor).tolist() for name, part in parts.items()}
    figure = charts.stacked(scaled, list(map(str, table.index)), unit)
    return Chart("Memory", "at the longest prompt; the peak is of the whole isolated process", figure)


def _title(metric: str) -> str:
    return "Time to first token" if metric == "ttft" else metric.replace("_", " ").capitalize()
