"""Charts: they contain values and intervals, and their colours can be distinguished and read."""

from collections.abc import Callable
from itertools import combinations
from math import dist

import pandas as pd
import pytest

from benchmarks.report import charts as report_charts
from dashboard import charts
from fastglm.variants.variants import VARIANTS

BACKGROUNDS = ("#ffffff", "#11151b")  # backgrounds of .streamlit/config.toml


def rgb(colour: str) -> tuple[float, ...]:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def luminance(colour: str) -> float:
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), rgb(colour), strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("colour", [*report_charts.COLOURS.values(), *report_charts.OTHERS])
def test_every_colour_can_be_seen_on_both_themes(colour: str, background: str) -> None:
    assert contrast(colour, background) >= 3


def deuteranope(colour: str) -> tuple[float, ...]:
    """A colour as seen without green cones (Machado, Oliveira and Fernandes 2009), linear RGB."""
    matrix = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
    seen = (sum(weight * part for weight, part in zip(row, rgb(colour), strict=True)) for row in matrix)
    return tuple(min(max(part, 0.0), 1.0) for part in seen)


def oklab(parts: tuple[float, ...]) -> tuple[float, ...]:
    """Convert linear RGB to Oklab (Ottosson 2020): distances match perception; 0.02 is barely visible."""
    cones = (
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    )
    axes = (
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    )
    roots = [sum(a * b for a, b in zip(row, parts, strict=True)) ** (1 / 3) for row in cones]
    return tuple(sum(a * b for a, b in zip(row, roots, strict=True)) for row in axes)


@pytest.mark.parametrize("eyes", [rgb, deuteranope])
def test_variants_are_clearly_told_apart_by_colour_or_else_by_mark(eyes: Callable[[str], tuple[float, ...]]) -> None:
    assert set(report_charts.COLOURS) == set(VARIANTS)
    for one, other in combinations(report_charts.COLOURS, 2):
        a, b = (oklab(eyes(report_charts.colour(variant))) for variant in (one, other))
        apart = dist(a, b) > 0.1
        assert apart or report_charts.mark(one) != report_charts.mark(other), (one, other)


def test_a_variant_has_one_colour() -> None:
    assert report_charts.colour("int4") == report_charts.COLOURS["int4"]
    assert report_charts.colour("something new") == report_charts.colour("something new")


def test_measured_values_and_intervals() -> None:
    rows = pd.DataFrame(
        {
            "variant": ["original", "int4", "original", "int4"],
            "group": ["32", "32", "128", "128"],
            "value": [10.0, 40.0, 8.0, 30.0],
            "low": [9.0, 38.0, None, None],
            "high": [12.0, 41.0, None, None],
        }
    )
    figure = report_charts.measured(rows, "tokens/s", "prompt")
    first, second = figure.data
    assert (first.name, second.name) == ("original", "int4")
    assert list(first.y) == [10, 8]
    assert list(second.error_y.array) == [1, 0]
    assert list(second.error_y.arrayminus) == [2, 0]
    assert second.marker.color == report_charts.colour("int4")


def test_a_pair_of_equal_variants_keeps_both_bars() -> None:
    bars = charts.pair(["int4", "int4"], [1.0, 2.0], "MB").data[0]
    assert len(set(bars.y)) == 2
    assert list(bars.x) == [1, 2]


def test_ratios_lie_on_both_sides_of_one_with_their_marks() -> None:
    rows = pd.DataFrame(
        {
            "variant": ["int4", "int4"],
            "group": ["ttft", "decode_rate"],
            "mark": ["circle", "circle-open"],
            "value": [0.5, 1.01],
            "low": [0.4, None],
            "high": [0.6, None],
        }
    )
    figure = report_charts.ratios(rows, "B over A")
    (points,) = figure.data
    assert list(points.x) == [0.5, 1.01]
    assert list(points.marker.symbol) == ["circle", "circle-open"]
    assert list(points.error_x.arrayminus) == pytest.approx([0.1, 0])
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.shapes[0].x0 == 1
    low, high = figure.layout.xaxis.range
    assert 10**low < 0.4
    assert 10**high > 1.01


def test_spans_show_the_range_of_values_and_intervals() -> None:
    rows = pd.DataFrame(
        {"variant": ["original", "int4"], "value": [0.95, 0.9], "low": [0.94, 0.88], "high": [0.97, 0.92]}
    )
    figure = charts.spans(rows.assign(group=rows["variant"]), "share", ".1~%")
    assert [list(trace.y) for trace in figure.data] == [["original"], ["int4"]]
    assert list(figure.data[1].error_x.arrayminus) == pytest.approx([0.02])
    low, high = figure.layout.xaxis.range
    assert 0.8 < low < 0.88
    assert 0.97 < high <= 1
    assert figure.layout.scattermode == "overlay"  # each dot beside its name
    assert charts.spans(rows.assign(group="p50"), "ms", zero=True).layout.xaxis.range[0] == 0
    best = rows.assign(value=1.0, low=1.0, high=1.0, group=rows["variant"])
    assert charts.spans(best, "share", ".0%").layout.xaxis.range[1] == 1  # nothing is above 100 %
    # Unless a value is.
    assert charts.spans(best.assign(value=1.3, high=1.4), "share", ".0%").layout.xaxis.range[1] > 1.4


def test_labels_of_lengths_do_not_run_into_each_other() -> None:
    rows = pd.DataFrame({"variant": "int4", "x": [16, 32, 64, 512, 1024], "value": 1.0, "low": None, "high": None})
    assert list(report_charts.against(rows, "s", "tokens").layout.xaxis.tickvals) == [64, 512, 1024]
    assert list(report_charts.against(rows.iloc[:1], "s", "tokens").layout.xaxis.tickvals) == [16]


def test_a_single_slow_token_does_not_press_the_others_together() -> None:
    figure = report_charts.shares({"int4": [0.01] * 999 + [9.0]}, "s", "share")
    assert figure.layout.xaxis.range[1] < 0.02


def test_a_course_names_the_versions_where_they_change() -> None:
    rows = pd.DataFrame({"version": ["a", "a", "b", "a"], "value": [1.0, 2.0, 3.0, 4.0]})
    rows = rows.assign(variant="int4", when="then", low=rows["value"] - 0.5, high=rows["value"] + 1)
    figure = report_charts.course(rows, "tokens/s", "runs")
    (line,) = figure.data
    assert list(line.y) == [1, 2, 3, 4]
    assert list(line.error_y.array) == [1] * 4
    assert line.marker.color == report_charts.colour("int4")
    assert list(figure.layout.xaxis.tickvals) == [0, 2, 3]
    assert list(figure.layout.xaxis.ticktext) == ["a", "b", "a"]
    many = pd.concat([rows.iloc[:1].assign(version=str(number)) for number in range(95)])
    assert len(report_charts.course(many, "", "").layout.xaxis.tickvals) == 10
