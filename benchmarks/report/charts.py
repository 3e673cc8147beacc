"""Charts: from measurements to plotly figures. A variant has one colour everywhere, readable on light and dark.

Plotly reads texts as HTML; here every text is shown literally, a new line as one.
"""

import zlib
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

# From the palettes of Paul Tol ("Colour Schemes", SRON/EPS/TN/09-002) and IBM Design, which any colour vision can
# distinguish; each has a contrast of 3 : 1 or more with both themes' backgrounds. No more colours are clearly distinct:
# variants of equal colour differ in marks, dashes and bars.
COLOURS = {
    "original": "#949494",
    "fast": "#0077bb",
    "int8": "#aa3377",
    "int4": "#fe6100",
    "turbo": "#cc3311",
    "speculative": "#648fff",
    "pruned": "#0077bb",
    "distilled": "#cc3311",
    "bnb-int8": "#aa3377",
    "bnb-nf4": "#fe6100",
}
SECOND = ("pruned", "distilled", "bnb-int8", "bnb-nf4")  # share the colours of earlier ones
OTHERS = ["#648fff", "#aa3377", "#0077bb"]  # of anything but variants of this project
# With other dashes, and other patterns of bars.
MARKS = {"circle": ("solid", ""), "diamond": ("dash", "/"), "square": ("dot", "x")}

GRID = "rgba(128,136,148,0.28)"
WHISKER = "#8a919b"
SHADES = ["#2b8ccb", "#d55e00", "#b3bac2"]  # colours of stacked parts
POINTS = 201  # points of a distribution: more cannot be seen
SEEN = 0.995  # share of a distribution's values in view
APART = 0.07  # share of an axis between the labels of two ticks
VERSIONS = 10  # names under a chart: more cannot be read

BUBBLE = 44  # pixels across the largest bubble
DOT = 12  # pixels across the smallest bubble
PLOT = (300, 320)  # least width in pixels of a chart of bubbles, so that each name finds a place
LETTER = (8, 17)  # pixels of a letter

BARE = {"displayModeBar": False}  # plotly's buttons are of little use on such small charts


def label(text: object) -> str:
    """Escape a text so that plotly shows it literally."""
    return escape(str(text), quote=False).replace("\n", "<br>")


def colour(variant: str) -> str:
    """The one colour of a variant, everywhere and on every run."""
    return COLOURS.get(variant) or OTHERS[zlib.crc32(variant.encode()) % len(OTHERS)]


def mark(variant: str) -> str:
    """The mark (plotly's symbol) of a variant, different from all variants of this project with the same colour."""
    return "diamond" if variant in SECOND else "circle" if variant in COLOURS else "square"


def dash(variant: str) -> str:
    """The dash style of a variant's lines."""
    return MARKS[mark(variant)][0]


def pattern(variant: str) -> str:
    """The fill pattern of a variant's bars."""
    return MARKS[mark(variant)][1]


def finish(figure: go.Figure, y_title: str, x_title: str = "", height: int = 320) -> go.Figure:
    """Apply the common style of all charts; `height` in pixels. Returns the figure."""
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
    figure.update_yaxes(title=label(y_title), rangemode="tozero", gridcolor=GRID, zerolinecolor=GRID, automargin=True)
    figure.update_xaxes(title=label(x_title), type="category", automargin=True, showgrid=False)
    return figure


def traces(rows: pd.DataFrame, kind: type[go.Bar] | type[go.Scatter], x: str, y: str, **look: Any) -> go.Figure:
    """A bar or scatter trace per variant, in its colour, with 95 % intervals along the axis of `value`.

    `x` and `y` are columns; `rows` also has variant, value, low, high, and mark (plotly's symbol) if marks differ.
    """
    error, hover = "error_y", "%{fullData.name} · %{x}: %{y:.4~g}<extra></extra>"
    if x == "value":
        error, hover = "error_x", "%{y}: %{x:.4~g}<extra>%{fullData.name}</extra>"
    figure = go.Figure()
    for variant, part in rows.groupby("variant", sort=False):
        marker: dict[str, Any] = {"color": colour(str(variant))}
        if kind is go.Bar:
            marker["pattern"] = {"shape": pattern(str(variant))}
        else:
            marker["symbol"] = part["mark"].tolist() if "mark" in part else mark(str(variant))
        trace = kind(
            x=_shown(part[x]),
            y=_shown(part[y]),
            name=label(variant),
            marker=marker,
            hovertemplate=hover,
            **{error: _whiskers(part)},
            **look,
        )
        if "lines" in look.get("mode", ""):
            trace.line.dash = dash(str(variant))
        figure.add_trace(trace)
    return figure


def measured(rows: pd.DataFrame, y_title: str, x_title: str) -> go.Figure:
    """Bars with 95 % intervals, grouped by `group` (a column of labels on the x axis), one colour per variant.

    `rows` has the columns variant, group, value, low, high.
    """
    return finish(traces(rows, go.Bar, "group", "value"), y_title, x_title)


def against(rows: pd.DataFrame, y_title: str, x_title: str) -> go.Figure:
    """Lines with 95 % intervals over a number, one colour per variant.

    `rows` has the columns variant, x, value, low, high.
    """
    rows = rows.sort_values("x", kind="stable")
    figure = traces(rows, go.Scatter, "x", "value", mode="lines+markers")
    finish(figure, y_title, x_title)
    return figure.update_xaxes(type="linear", tickvals=_apart(sorted(rows["x"].unique().tolist())))


def ratios(rows: pd.DataFrame, x_title: str) -> go.Figure:
    """Ratios with 95 % intervals on both sides of 1, on a logarithmic axis, one under the other.

    `rows` has the columns variant, group (the label, each once), mark (plotly's symbol), value, low, high.
    """
    figure = traces(rows, go.Scatter, "value", "group", mode="markers")
    figure.update_traces(marker={"size": 10, "line": {"width": 2}})
    finish(figure, "", x_title, height=90 + 40 * len(rows))
    ends = rows[["value", "low", "high"]].assign(one=1.0)
    figure.update_xaxes(type="log", range=fitted(ends, log=True), showgrid=True, gridcolor=GRID)
    figure.update_yaxes(type="category", autorange="reversed", tickfont={"size": 11})
    return figure.add_vline(x=1, line={"color": WHISKER, "dash": "dash"})


def course(rows: pd.DataFrame, y_title: str, x_title: str) -> go.Figure:
    """A value with its 95 % interval from run to run; below it the code version at every change.

    `rows`, in time order and of one variant, has the columns variant, version, when (a text), value, low, high.
    """
    variant = str(rows["variant"].iloc[0])
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(len(rows))),
        y=rows["value"].tolist(),
        mode="lines+markers",
        name=label(variant),
        marker={"color": colour(variant), "symbol": mark(variant)},
        line={"dash": dash(variant)},
        error_y=_whiskers(rows),
        customdata=[[label(when), label(version)] for when, version in zip(rows["when"], rows["version"], strict=True)],
        hovertemplate="%{y:.4~g} · %{customdata[0]} · %{customdata[1]}<extra></extra>",
    )
    finish(figure, y_title, x_title).update_yaxes(rangemode="normal")
    changes = np.flatnonzero(rows["version"].ne(rows["version"].shift()))
    changes = changes[:: -(-len(changes) // VERSIONS)]
    return figure.update_xaxes(
        type="linear",
        range=[-0.5, len(rows) - 0.5],
        tickvals=changes.tolist(),
        ticktext=_shown(rows["version"].iloc[changes]),
        tickfont={"size": 11},
    )


def shares(values: dict[str, list[float]], x_title: str, y_title: str) -> go.Figure:
    """Distributions of values: the share of a variant's values that is at most x, as a line of few points.

    The axis ends where it shows the share `SEEN` of every variant's values: one extreme value would compress all lines.
    """
    figure = go.Figure()
    for variant, found in values.items():
        steps = np.linspace(0, 1, min(len(found), POINTS))
        figure.add_scatter(
            x=np.quantile(found, steps).tolist(),
            y=steps.tolist(),
            mode="lines",
            name=label(variant),
            line={"color": colour(variant), "width": 2, "dash": dash(variant)},
            hovertemplate="%{fullData.name} · %{y:.0%} ≤ %{x:.4~g}<extra></extra>",
        )
    finish(figure, y_title, x_title)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    end = 1.05 * max(float(np.quantile(found, SEEN)) for found in values.values())
    return figure.update_xaxes(type="linear", range=[0, end], showgrid=True, gridcolor=GRID)


def stacked(parts: dict[str, list[float]], names: list[str], y_title: str) -> go.Figure:
    """Bars of parts on top of each other; each part has a value for each of `names`."""
    figure = go.Figure()
    for (part, values), shade in zip(parts.items(), SHADES, strict=False):
        figure.add_bar(
            x=list(map(label, names)),
            y=values,
            name=label(part),
            marker={"color": shade},
            hovertemplate="%{x} · %{fullData.name}: %{y:.4~g}<extra></extra>",
        )
    return finish(figure, y_title).update_layout(barmode="stack")


def trade_off(points: pd.DataFrame, x_title: str, y_title: str, y_format: str) -> go.Figure:
    """Bubbles with names beside them and 95 % intervals both ways; a line joins the Pareto front.

    `points` has the columns variant, x, x_low, x_high, y, y_low, y_high, size (the value of the area, or none), note
    (words on the size), and the booleans front and fits (a hollow bubble if false). `y_format` is d3's.
    """
    log = bool(points["x"].max() > 10 * points["x"].min() > 0)
    ranges = _range(points, "x", log), _range(points, "y", False)
    if y_format.endswith("%"):
        ranges[1][1] = min(ranges[1][1], 1.0)  # nothing is above 100 %
    points = points.sort_values("size", ascending=False, na_position="last", kind="stable")  # small bubbles on top
    largest = points["size"].max()
    across = (BUBBLE * np.sqrt(points["size"] / largest)).fillna(DOT).clip(lower=DOT)
    points = points.assign(across=across, place=_places(points, across, ranges, log))
    line = points[points["front"]].sort_values("x")
    hover = (
        f"%{{fullData.name}}<br>{label(x_title)}: %{{x:.4~g}}<br>{label(y_title)}: %{{y:{y_format}}}<br>%{{customdata}}"
    )
    figure = go.Figure()
    figure.add_scatter(
        x=line["x"].tolist(),
        y=line["y"].tolist(),
        mode="lines",
        line={"color": WHISKER, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    for variant, part in points.groupby("variant", sort=False):
        figure.add_scatter(**_bubble(str(variant), part), hovertemplate=f"{hover}<extra></extra>")
    finish(figure, y_title, x_title, height=400)
    figure.update_layout(showlegend=False, margin={"t": 32, "r": 16})
    figure.update_yaxes(range=ranges[1], rangemode="normal", tickformat=y_format)
    return figure.update_xaxes(type="log" if log else "linear", range=ranges[0], showgrid=True, gridcolor=GRID)


def _bubble(variant: str, part: pd.DataFrame) -> dict[str, object]:
    """A trace of `trade_off`; `part` has one row."""
    shade = colour(variant)
    return {
        "x": part["x"].tolist(),
        "y": part["y"].tolist(),
        "mode": "markers+text",
        "name": label(variant),
        "text": [label(variant)],
        "textposition": part["place"].iloc[0],
        "textfont": {"size": 13, "color": shade},
        "cliponaxis": False,
        "marker": {
            "size": part["across"].iloc[0],
            "symbol": mark(variant),
            "color": shade if part["fits"].iloc[0] else "rgba(0,0,0,0)",
            "line": {"color": shade, "width": 2},
        },
        "opacity": 0.85,
        "error_x": _whiskers(part, "x", "x_low", "x_high"),
        "error_y": _whiskers(part, "y", "y_low", "y_high"),
        "customdata": _shown(part["note"]),
    }


def _shown(column: pd.Series) -> list[Any]:
    """The values of a column, texts escaped by `label`."""
    return [label(value) if isinstance(value, str) else value for value in column.tolist()]


def fitted(values: pd.DataFrame, room: float = 0.05, log: bool = False) -> list[float]:
    """A range of an axis that contains all `values` except NaN, with space at its ends; as powers of ten if `log`."""
    found = values.to_numpy(float)
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    if log:
        low, high = np.log10(low), np.log10(high)
    space = room * (high - low) or (0.01 if log else 0.1 * abs(high) or 1.0)
    return [low - space, high + space]


def _range(points: pd.DataFrame, axis: str, log: bool) -> list[float]:
    """The range of an axis of `trade_off`, with space for bubbles and names."""
    return fitted(points[[axis, f"{axis}_low", f"{axis}_high"]], 0.16, log)


def _apart(values: Sequence[float]) -> list[float]:
    """The sorted `values` whose labels do not overlap, always including the last one."""
    shown = [values[-1]]
    for value in reversed(values[:-1]):
        if shown[-1] - value > APART * (values[-1] - values[0]):
            shown.append(value)
    return shown[::-1]


def _places(points: pd.DataFrame, across: pd.Series, ranges: Sequence[Sequence[float]], log: bool) -> list[str]:
    """Choose a place beside its bubble for each name, so that names cover least of the chart on a narrow screen."""

    def pixels(axis: int, name: str) -> NDArray[np.float64]:
        values = points[name].fillna(points["xy"[axis]]).to_numpy(float)
        low, high = ranges[axis]
        found: NDArray[np.float64] = PLOT[axis] * ((np.log10(values) if log and axis == 0 else values) - low)
        return found / (high - low)

    x, y = pixels(0, "x"), pixels(1, "y")
    taken = [(a - r, b - r, a + r, b + r) for a, b, r in zip(x, y, across / 2, strict=True)]
    taken += [(a, b - 2, c, b + 2) for a, b, c in zip(pixels(0, "x_low"), y, pixels(0, "x_high"), strict=True)]
    taken += [(a - 2, b, a + 2, c) for a, b, c in zip(x, pixels(1, "y_low"), pixels(1, "y_high"), strict=True)]
    places = []
    for a, b, r, name in zip(x, y, across / 2, points["variant"], strict=True):
        wide, high = LETTER[0] * len(name), LETTER[1]
        boxes = {
            "top center": (a - wide / 2, b + r, a + wide / 2, b + r + high),
            "bottom center": (a - wide / 2, b - r - high, a + wide / 2, b - r),
            "middle right": (a + r, b - high / 2, a + r + wide, b + high / 2),
            "middle left": (a - r - wide, b - high / 2, a - r, b + high / 2),
            "top right": (a + r, b + r, a + r + wide, b + r + high),
            "bottom right": (a + r, b - r - high, a + r + wide, b - r),
            "top left": (a - r - wide, b + r, a - r, b + r + high),
            "bottom left": (a - r - wide, b - r - high, a - r, b - r),
        }
        best = min(boxes, key=lambda place: _hidden(boxes[place], taken))
        taken.append(boxes[best])
        places.append(best)
    return places


def _hidden(box: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """The area of a box (left, bottom, right, top) that lies on others, or outside the plot."""
    left, bottom, right, top = box
    inside = max(min(right, PLOT[0]) - max(left, 0), 0) * max(min(top, PLOT[1]) - max(bottom, 0), 0)
    covered = sum(
        max(min(right, other[2]) - max(left, other[0]), 0) * max(min(top, other[3]) - max(bottom, other[1]), 0)
        for other in others
    )
    return (right - left) * (top - bottom) - inside + covered


def _whiskers(rows: pd.DataFrame, value: str = "value", low: str = "low", high: str = "high") -> dict[str, object]:
    """The intervals of `rows` as plotly's error bars; empty without intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": (rows[high] - rows[value]).fillna(0).clip(lower=0).tolist(),
        "arrayminus": (rows[value] - rows[low]).fillna(0).clip(lower=0).tolist(),
        "color": WHISKER,
        "thickness": 1.5,
    }
