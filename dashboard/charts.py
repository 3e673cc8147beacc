"""Charts that only pages draw, such as two answers side by side; the others are in `benchmarks.report.charts`."""

import pandas as pd
import plotly.graph_objects as go

from benchmarks.report.charts import (
    GRID,
    colour,
    dash,
    finish,
    fitted,
    label,
    mark,
    pattern,
    traces,
)

RED = "#d03b3b"  # colour of failures; its contrast with both backgrounds is 3.8 : 1 or more
EDGE = "#8a919b"  # colour of lines that belong to no variant


def pair(variants: list[str], values: list[float], unit: str) -> go.Figure:
    """Two horizontal bars, one under the other, for two answers side by side."""
    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=[label(f"{side} · {variant}") for side, variant in zip("AB", variants, strict=True)],
        orientation="h",
        marker={
            "color": [colour(variant) for variant in variants],
            "pattern": {"shape": [pattern(variant) for variant in variants]},
        },
        text=[f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values],
        textposition="auto",
        hovertemplate="%{y}: %{x:.4~g}<extra></extra>",
    )
    finish(figure, "", unit, height=170)
    figure.update_xaxes(type="linear", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category")
    return figure.update_layout(bargap=0.25, showlegend=False)


def dots(rows: pd.DataFrame, x_title: str) -> go.Figure:
    """Shares from 0 to 1: a line of dots per group, one colour per variant; hovering over a dot shows its 95 %
    interval.

    `rows` has the columns variant, group, value, low, high.
    """
    figure = _dots(rows, x_title, 90 + 28 * rows["group"].nunique())
    figure.update_traces(error_x={"visible": False})
    for trace, (_, part) in zip(figure.data, rows.groupby("variant", sort=False), strict=True):
        trace.customdata = part[["low", "high"]].to_numpy().tolist()
        trace.hovertemplate = (
            "%{y}: %{x:.1%} (95 %: %{customdata[0]:.1%} – %{customdata[1]:.1%})<extra>%{fullData.name}</extra>"
        )
    return figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])


def spans(rows: pd.DataFrame, x_title: str, tick_format: str = ".4~g", zero: bool = False) -> go.Figure:
    """Values with 95 % intervals side by side: a line per group, one colour per variant. The axis covers their range,
    and 0 if `zero`.

    `rows` has the columns variant, group, value, low, high; no value is negative. `tick_format` is d3's; "%" means
    shares.
    """
    figure = _dots(rows, x_title, 80 + 12 * rows["group"].nunique() + 22 * len(rows))
    if rows["group"].is_unique:  # the labels say enough
        figure.update_layout(scattermode="overlay", showlegend=False)
    low, high = fitted(rows[["value", "low", "high"]])
    if tick_format.endswith("%") and rows["value"].max() <= 1:
        high = min(high, 1.0)
    figure.update_traces(hovertemplate=f"%{{y}}: %{{x:{tick_format}}}<extra>%{{fullData.name}}</extra>")
    return figure.update_xaxes(tickformat=tick_format, range=[0.0 if zero else max(low, 0.0), high], nticks=6)


def _dots(rows: pd.DataFrame, x_title: str, height: int) -> go.Figure:
    """Dots of all variants on a line per group, one under the other."""
    figure = traces(rows, go.Scatter, "value", "group", mode="markers", orientation="h", cliponaxis=False)
    figure.update_traces(marker={"size": 9})
    finish(figure, "", x_title, height=height)
    figure.update_layout(scattermode="group", scattergap=0.4)  # so that equal values do not hide each other
    figure.update_xaxes(type="linear", tickangle=0, showgrid=True, gridcolor=GRID)
    return figure.update_yaxes(type="category", autorange="reversed", dtick=1, tickfont={"size": 11})


def stages(names: list[str], values: list[float], y_title: str) -> go.Figure:
    """A value after each of several steps, in order; step names are unique."""
    figure = go.Figure()
    figure.add_scatter(
        x=list(map(label, names)),
        y=values,
        mode="lines+markers",
        line={"color": EDGE, "dash": "dot"},
        marker={"color": colour("fast"), "size": 10},
        cliponaxis=False,
        hovertemplate="%{x}: %{y:.4~g}<extra></extra>",
    )
    finish(figure, y_title, height=260)
    return figure.update_xaxes(type="category").update_yaxes(rangemode="tozero").update_layout(showlegend=False)


def failing(figure: go.Figure, names: list[str], word: str) -> go.Figure:
    """Add red bars with the text `word` to a chart of `stacked`, higher than all its bars. Returns the figure."""
    names = list(map(label, names))
    heights = {name: sum(bar.y[i] for bar in figure.data) for i, name in enumerate(figure.data[0].x)}
    top = 1.15 * max(heights.values()) or 1.0
    figure.add_bar(
        x=names,
        y=[top - heights[name] for name in names],
        name=label(word),
        text=[label(word)] * len(names),
        textposition="inside",
        insidetextanchor="middle",
        textfont={"color": "#ffffff"},
        marker={"color": RED},
        hovertemplate="%{x} · %{fullData.name}<extra></extra>",
    )
    return figure.update_yaxes(showticklabels=any(heights.values()))


def reach(
    lines: pd.DataFrame,
    points: pd.DataFrame,
    edges: dict[str, dict[str, float]],
    at: float,
    y_title: str,
    x_title: str,
) -> go.Figure:
    """Computed lines over a number, one colour per variant, with measured points, and a mark at one number.

    `lines` and `points` have the columns variant, x, value; `edges` are horizontal lines by name, labelled on the
    "left" or on the "right".
    """
    figure = go.Figure()
    for table, mode in ((lines, "lines"), (points, "markers")):
        for variant, part in table.groupby("variant", sort=False):
            figure.add_scatter(
                x=part["x"].tolist(),
                y=part["value"].tolist(),
                mode=mode,
                name=label(variant),
                legendgroup=str(variant),
                showlegend=mode == "lines",
                line={"color": colour(str(variant)), "width": 2, "dash": dash(str(variant))},
                marker={
                    "color": colour(str(variant)),
                    "symbol": mark(str(variant)),
                    "size": 9,
                    "line": {"color": "#ffffff", "width": 1},
                },
                hovertemplate="%{fullData.name} · %{x}: %{y:.4~g}<extra></extra>",
            )
    finish(figure, y_title, x_title, height=400)
    for side, named in edges.items():
        for name, edge in named.items():
            text = {"annotation_text": label(name), "annotation_position": f"top {side}", "annotation_font_size": 11}
            figure.add_hline(edge, line={"color": EDGE, "width": 1, "dash": "dot"}, **text)
    figure.add_vline(at, line={"color": EDGE, "width": 1})
    heights = [height for named in edges.values() for height in named.values()]
    figure.update_yaxes(range=[0, 1.06 * max([*lines["value"], *points["value"], *heights])])
    return figure.update_xaxes(type="linear", range=[0, lines["x"].max()])
