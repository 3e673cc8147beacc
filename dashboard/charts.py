"""Charts: measurements in, a plotly figure out. A variant has one colour everywhere, readable on light and dark."""

import zlib
from collections.abc import Callable

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
_OTHERS = ["#8f6bd1", "#a1782a", "#4f8f3a", "#c2504f", "#3f8f9c"]


BARE = {"displayModeBar": False}  # plotly's buttons are of little use on charts this small


def colour(variant: str) -> str:
    """The one colour of a variant, everywhere and on every run."""
    return COLOURS.get(variant) or _OTHERS[zlib.crc32(variant.encode()) % len(_OTHERS)]


def _finish(figure: go.Figure, y_title: str, x_title: str = "", height: int = 320) -> go.Figure:
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
    grid = "rgba(128,136,148,0.28)"
    figure.update_yaxes(title=y_title, rangemode="tozero", gridcolor=grid, zerolinecolor=grid, automargin=True)
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
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (part["high"] - part["value"]).fillna(0).clip(lower=0).tolist(),
                "arrayminus": (part["value"] - part["low"]).fillna(0).clip(lower=0).tolist(),
                "color": "#8a919b",
                "thickness": 1.5,
            },
            hovertemplate="%{fullData.name} · %{x}: %{y:.4~g}<extra></extra>",
        )
    return _finish(figure, y_title, x_title)


def pair(variants: list[str], values: list[float], unit: str) -> go.Figure:
    """Two horizontal bars, one under the other, for two answers side by side."""
    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=[f"{side} · {variant}" for side, variant in zip("AB", variants, strict=True)],
        orientation="h",
        marker={"color": [colour(variant) for variant in variants]},
        text=[f"{value:.3g}" for value in values],
        textposition="auto",
        hovertemplate="%{y}: %{x:.4~g}<extra></extra>",
    )
    _finish(figure, "", unit, height=170)
    figure.update_xaxes(type="linear", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category")
    return figure.update_layout(bargap=0.25, showlegend=False)
