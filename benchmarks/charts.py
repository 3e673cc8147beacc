"""Charts: measurements in, a plotly figure out. A variant has one colour everywhere, readable on light and dark."""

import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

# After Okabe and Ito, "Color Universal Design": told apart with any colour vision; each has a contrast of 3 : 1 or more
# with both themes' backgrounds.
COLOURS = {
    "original": "#7f868f",
    "fast": "#2b8ccb",
    "int8": "#009e73",
    "int4": "#d55e00",
    "turbo": "#c45a95",
}
OTHERS = ["#8f6bd1", "#a1782a", "#4f8f3a", "#c2504f", "#3f8f9c"]

GRID = "rgba(128,136,148,0.28)"
SHADES = ["#2b8ccb", "#d55e00", "#b3bac2"]  # of parts that are stacked
POINTS = 201  # of a distribution: more cannot be seen

BARE = {"displayModeBar": False}  # plotly's buttons are of little use on charts this small


def colour(variant: str) -> str:
    """The one colour of a variant, everywhere and on every run."""
    return COLOURS.get(variant) or OTHERS[zlib.crc32(variant.encode()) % len(OTHERS)]


def finish(figure: go.Figure, y_title: str, x_title: str = "", height: int = 320) -> go.Figure:
    """The look that all charts share; `height` in pixels. Returns the figure."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        barmode="group",
        bargap=0.35,
        bargroupgap=0.12,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        hovermode="closest",
    )
    figure.update_yaxes(title=y_title, rangemode="tozero", gridcolor=GRID, zerolinecolor=GRID, automargin=True)
    figure.update_xaxes(title=x_title, type="category", automargin=True, showgrid=False)
    return figure


def measured(rows: pd.DataFrame, y_title: str, x_title: str, name: Callable[[str], str] = str) -> go.Figure:
    """Bars with 95 % intervals, grouped by `group` (a column of labels on the x axis), one colour a variant.

    `rows` has the columns variant, group, value, low, high.
    """
    figure = go.Figure()
    for variant, part in rows.groupby("variant", sort=False):
        figure.add_bar(
            x=part["group"].tolist(),
            y=part["value"].tolist(),
            name=name(str(variant)),
            marker={"color": colour(str(variant))},
            error_y=_whiskers(part),
            hovertemplate="%{fullData.name} · %{x}: %{y:.4~g}<extra></extra>",
        )
    return finish(figure, y_title, x_title)


def against(rows: pd.DataFrame, y_title: str, x_title: str, name: Callable[[str], str] = str) -> go.Figure:
    """Lines with 95 % intervals over a number, one colour a variant.

    `rows` has the columns variant, x, value, low, high.
    """
    figure = go.Figure()
    for variant, part in rows.sort_values("x", kind="stable").groupby("variant", sort=False):
        figure.add_scatter(
            x=part["x"].tolist(),
            y=part["value"].tolist(),
            mode="lines+markers",
            name=name(str(variant)),
            marker={"color": colour(str(variant))},
            error_y=_whiskers(part),
            hovertemplate="%{fullData.name} · %{x}: %{y:.4~g}<extra></extra>",
        )
    finish(figure, y_title, x_title)
    return figure.update_xaxes(type="linear", tickvals=sorted(rows["x"].unique().tolist()))


def shares(values: dict[str, list[float]], x_title: str, y_title: str, name: Callable[[str], str] = str) -> go.Figure:
    """How values are distributed: the share of a variant's values that is at most x, as a line of few points."""
    figure = go.Figure()
    for variant, found in values.items():
        steps = np.linspace(0, 1, min(len(found), POINTS))
        figure.add_scatter(
            x=np.quantile(found, steps).tolist(),
            y=steps.tolist(),
            mode="lines",
            name=name(variant),
            line={"color": colour(variant), "width": 2},
            hovertemplate="%{fullData.name} · %{y:.0%} ≤ %{x:.4~g}<extra></extra>",
        )
    finish(figure, y_title, x_title)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return figure.update_xaxes(type="linear", rangemode="tozero", showgrid=True, gridcolor=GRID)


def stacked(parts: dict[str, list[float]], names: list[str], y_title: str) -> go.Figure:
    """Bars of parts on top of each other; each part has a value for each of `names`."""
    figure = go.Figure()
    for (part, values), shade in zip(parts.items(), SHADES, strict=False):
        figure.add_bar(
            x=names,
            y=values,
            name=part,
            marker={"color": shade},
            hovertemplate="%{x} · %{fullData.name}: %{y:.4~g}<extra></extra>",
        )
    return finish(figure, y_title).update_layout(barmode="stack")


def _whiskers(rows: pd.DataFrame) -> dict[str, object]:
    """The intervals of `rows` as plotly's error bars; none where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": (rows["high"] - rows["value"]).fillna(0).clip(lower=0).tolist(),
        "arrayminus": (rows["value"] - rows["low"]).fillna(0).clip(lower=0).tolist(),
        "color": "#8a919b",
        "thickness": 1.5,
    }
