"""Charts of the pages: those of the benchmark reports, and two answers side by side."""

import plotly.graph_objects as go

from benchmarks.charts import BARE, COLOURS, OTHERS, colour, finish, measured

__all__ = ["BARE", "COLOURS", "OTHERS", "colour", "measured", "pair"]


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
    finish(figure, "", unit, height=170)
    figure.update_xaxes(type="linear", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category")
    return figure.update_layout(bargap=0.25, showlegend=False)
