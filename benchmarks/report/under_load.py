"""The work of servers against the waiting of their clients."""

import pandas as pd
import plotly.graph_objects as go

from benchmarks.measure import wording
from benchmarks.report import charts


def numbers_of_clients(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of closed loops, with `clients` and `quantile` (None without one) from their params."""
    clients = [params.get("clients") for params in rows["params"]]
    known = [type(number) is int for number in clients]
    quantiles = [params.get("quantile") for params in rows["params"]]
    rows = rows.assign(clients=clients, quantile=quantiles)[known]
    return rows.astype({"clients": int})


def trade(rows: pd.DataFrame, metric: str, quantile: float, wait: str, work: str) -> go.Figure | None:
    """Tokens per second of all clients over a quantile of a time, one line a variant; numbers at the points are
    clients. None without such rows.

    Args:
        rows: those of `numbers_of_clients`.
        metric: the time.
        wait: title of the time's axis, before its unit.
        work: title of the other axis.
    """
    times = rows[(rows["metric"] == metric) & (rows["quantile"] == quantile)]
    points = rows[rows["metric"] == "throughput"].merge(
        times[["variant", "clients", "value"]], on=["variant", "clients"], suffixes=("", "_time")
    )
    if points.empty:
        return None
    factor, unit = wording.size(points["value_time"].max(), times["unit"].iloc[0])
    points = points.assign(x=points["value_time"] * factor).sort_values("clients", kind="stable")
    figure = charts.traces(
        points, go.Scatter, "x", "value", mode="lines+markers+text", textposition="top center", cliponaxis=False
    )
    for trace, (_, part) in zip(figure.data, points.groupby("variant", sort=False), strict=True):
        trace.text = [str(number) for number in part["clients"]]
    charts.finish(figure, work, f"{wait}, {unit}")
    return figure.update_xaxes(type="linear", rangemode="tozero", showgrid=True, gridcolor=charts.GRID)
