"""The recommended variant: newest figures of each, the Pareto front, the rule."""

from typing import Any

import pandas as pd
import pytest

from benchmarks.report import charts
from dashboard.results import recommendation
from dashboard.results.recommendation import Standing, Value

GB = 1e9


def standing(
    variant: str,
    speed: float | None,
    memory: float | None = None,
    quality: float | None = None,
    spread: float = 0.0,
    doubt: float = 0.0,
    short: bool = False,
) -> Standing:
    """Figures with a relative `spread` of speed, memory in GB, and quality plus or minus `doubt`."""
    return Standing(
        variant,
        None if speed is None else Value(speed, speed * (1 - spread), speed * (1 + spread)),
        None if memory is None else Value(memory * GB, memory * GB, memory * GB),
        None if quality is None else Value(quality, quality - doubt, quality + doubt),
        short,
    )


def name(found: Standing | None) -> str | None:
    return found and found.variant


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(1, 1)], [True]),
        ([(1, 3), (2, 2), (3, 1)], [True, True, True]),
        ([(1, 3), (2, 3), (3, 1), (3, 0.5)], [False, True, True, False]),
        ([(2, 2), (2, 2)], [True, True]),
    ],
)
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]], expected: list[bool]) -> None:
    assert recommendation.front(points) == expected


def test_the_fastest_that_keeps_the_quality_is_picked() -> None:
    known = [
        standing("original", 10, 12, 0.95),
        standing("int8", 20, 7, 0.94),
        standing("int4", 30, 4, 0.90),
    ]
    found = recommendation.recommend(known, 24 * GB)
    assert (name(found.pick), name(found.baseline), name(found.careful), found.original) == (
        "int8",
        "original",
        "original",
        "runs",
    )
    assert found.unknown == ()


def test_quality_is_lost_only_where_that_is_sure() -> None:
    original = standing("original", 10, 12, 0.95)
    assert name(recommendation.recommend([original, standing("int4", 30, 4, 0.90, doubt=0.02)], 0).pick) == "original"
    assert name(recommendation.recommend([original, standing("int4", 30, 4, 0.90, doubt=0.04)], 0).pick) == "int4"
    unsure = standing("original", 10, 12, 0.95, doubt=0.04)
    assert name(recommendation.recommend([unsure, standing("int4", 30, 4, 0.90)], 0).pick) == "int4"


def test_the_smallest_of_equally_fast_variants_is_picked() -> None:
    known = [
        standing("original", 10, 12, 0.9),
        standing("int8", 20, 7, 0.9, spread=0.05),
        standing("int4", 19, 4, 0.9, spread=0.05),
    ]
    assert name(recommendation.recommend(known, 24 * GB).pick) == "int4"
    surely = [known[0], standing("int8", 20, 7, 0.9, spread=0.01), standing("int4", 19, 4, 0.9, spread=0.01)]
    assert name(recommendation.recommend(surely, 24 * GB).pick) == "int8"


def test_without_quality_only_the_published_weights_count() -> None:
    known = [standing("original", 10, 12), standing("fast", 15, 12), standing("int8", 12, 7), standing("int4", 30, 4)]
    found = recommendation.recommend(known, 24 * GB)
    assert name(found.pick) == "fast"
    assert found.unknown == ("int4",)
    assert found.careful is None


def test_the_others_are_compared_if_original_does_not_fit() -> None:
    known = [standing("original", 2, 12, 0.99), standing("int8", 20, 7, 0.95), standing("int4", 30, 4, 0.90)]
    found = recommendation.recommend(known, 8 * GB)
    assert (name(found.pick), name(found.baseline), found.original) == ("int8", "int8", "too big")
    ran_out = recommendation.recommend([standing("original", None, short=True), *known[1:]], 24 * GB)
    assert (name(ran_out.pick), ran_out.original) == ("int8", "too big")
    assert recommendation.recommend(known[1:], 24 * GB).original == "unknown"


def test_nine_tenths_of_the_memory_may_be_taken() -> None:
    assert recommendation.fits(standing("int8", 1, 7.2), 8 * GB)
    assert not recommendation.fits(standing("int8", 1, 7.3), 8 * GB)
    assert recommendation.fits(standing("int8", 1, 7.3), 0)


def test_there_may_be_nothing_to_recommend() -> None:
    too_big = recommendation.recommend([standing("original", 10, 12), standing("fast", 15, 12)], 8 * GB)
    assert (too_big.pick, too_big.baseline, too_big.unknown) == (None, None, ())
    unknown = recommendation.recommend([standing("original", 10, 12), standing("int4", 15, 4)], 8 * GB)
    assert (unknown.pick, unknown.unknown) == (None, ("int4",))
    assert recommendation.recommend([], 8 * GB).pick is None


def row(run: str, variant: str, metric: str, value: float, **params: Any) -> dict[str, Any]:
    bounds = {"low": value * 0.9, "high": None}
    return {"run": run, "variant": variant, "metric": metric, "params": params, "value": value, **bounds}


def found_in(rows: list[dict[str, Any]], runs: list[str]) -> dict[tuple[str, str], float]:
    """The values of each variant and side."""
    found, _ = recommendation.newest(pd.DataFrame(rows), runs)
    return {(row["variant"], row["side"]): row["value"] for row in found.to_dict("records")}


def test_newest_values_that_were_measured_alike() -> None:
    rows = [
        row("old", "original", "decode_rate", 10, prompt_tokens=128, answer_tokens=64),
        row("old", "int4", "decode_rate", 30, prompt_tokens=128, answer_tokens=64),
        row("old", "int4", "decode_rate", 33, prompt_tokens=32, answer_tokens=64),
        row("old", "original", "decode_rate", 11, prompt_tokens=32, answer_tokens=64),
        row("new", "int4", "decode_rate", 31, prompt_tokens=128, answer_tokens=64),
        row("new", "int4", "decode_rate", 99, prompt_tokens=16, answer_tokens=64),
        row("old", "int4", "decode_rate", 1, prompt_tokens=128, answer_tokens=64, threads=1),
    ]
    assert found_in(rows, ["new", "old"]) == {("original", "speed"): 10, ("int4", "speed"): 31}


def test_the_length_that_most_share_comes_before_128() -> None:
    rows = [
        row("a", "original", "decode_rate", 10, prompt_tokens=64, answer_tokens=64),
        row("a", "int4", "decode_rate", 30, prompt_tokens=64, answer_tokens=64),
        row("b", "int4", "decode_rate", 31, prompt_tokens=128, answer_tokens=64),
    ]
    assert found_in(rows, ["b", "a"]) == {("original", "speed"): 10, ("int4", "speed"): 30}


def test_memory_while_answering_and_quality_of_all_questions() -> None:
    rows = [
        row("a", "int4", "weights_memory", 1),
        row("a", "int4", "peak_memory", 9, during="load"),
        row("a", "int4", "peak_memory", 3, during="answer", prompt_tokens=128, answer_tokens=64),
        row("a", "int4", "skill_accuracy", 0.5, skill="arithmetic"),
        row("a", "int4", "top1_agreement", 0.7),
        row("a", "int4", "skill_accuracy", 0.9),
    ]
    assert found_in(rows, ["a"]) == {("int4", "memory"): 3, ("int4", "quality"): 0.9}
    assert found_in(rows[:2] + rows[3:5], ["a"]) == {("int4", "memory"): 1, ("int4", "quality"): 0.7}


def test_agreement_of_one_arithmetic_is_compared() -> None:
    rows = [
        row("new", "int4", "top1_agreement", 0.9, arithmetic="exact"),
        row("new", "int8", "top1_agreement", 0.99, arithmetic="exact"),
        row("old", "int8", "top1_agreement", 0.5),
        row("old", "fast", "top1_agreement", 1.0),
    ]
    assert found_in(rows, ["new", "old"]) == {("int4", "quality"): 0.9, ("int8", "quality"): 0.99}


def failing(run: str, kind: str) -> dict[str, Any]:
    return row(run, "original", "failure", 1, suite="latency", kind=kind, error="no room")


def test_a_failure_hides_older_values_only() -> None:
    rows = [row("b", "original", "decode_rate", 10, prompt_tokens=128)]
    for order, values in ((["a", "b"], {}), (["b", "a"], {("original", "speed"): 10})):
        assert found_in([*rows, failing("a", "HostError")], order) == values
        _, failures = recommendation.newest(pd.DataFrame([*rows, failing("a", "HostError")]), order)
        assert failures["variant"].tolist() == [] if values else ["original"]


def test_standings_of_rows() -> None:
    rows = [
        row("a", "int4", "decode_rate", 30, prompt_tokens=128),
        row("a", "pruned", "decode_rate", 20, prompt_tokens=128),
        failing("a", "MemoryShortError"),
    ]
    original, int4, pruned = recommendation.standings(*recommendation.newest(pd.DataFrame(rows), ["a"]))
    assert original == Standing("original", short=True)
    assert int4 == Standing("int4", Value(30, 27, 30))
    assert pruned.variant == "pruned"
    nothing = pd.DataFrame(columns=["run", "variant", "metric", "params", "value", "low", "high"])
    assert recommendation.standings(*recommendation.newest(nothing, [])) == []


def test_few_runs_are_looked_into_and_the_newest_of_each_suite_and_variant() -> None:
    many = [(f"r{i}", "done", ["latency"], ["original", "int4"]) for i in range(1000)]
    rare = ("rare", "done", ["quality"], ["int4"])
    runs = pd.DataFrame(
        [("running", "running", ["latency"], ["original"]), *many, rare], columns=["id", "status", "suites", "variants"]
    )
    assert recommendation.recent(runs) == [*(f"r{i}" for i in range(recommendation.RECENT)), "rare"]
    assert recommendation.recent(runs[:0]) == []


KNOWN = [
    standing("original", 10, 12, 0.95, spread=0.1, doubt=0.02),
    standing("fast", 16, 12, 0.95),
    standing("int8", 15, 7, 0.94),
    standing("int4", 31, 4, 0.90),
    standing("turbo", None, 2, 0.5),
]


def test_points_of_the_chart() -> None:
    points = recommendation.points(KNOWN, "quality", 24 * GB).set_index("variant")
    assert points["front"].to_dict() == {"original": False, "fast": True, "int8": False, "int4": True}
    assert points.loc["original", ["x", "x_low", "y_high", "size"]].tolist() == [10, 9, 0.97, 12 * GB]
    small = recommendation.points(KNOWN, "quality", 12 * GB).set_index("variant")
    assert small["fits"].to_dict() == {"original": False, "fast": False, "int8": True, "int4": True}
    assert small["front"].to_dict() == {"original": False, "fast": False, "int8": True, "int4": True}
    by_memory = recommendation.points(KNOWN, "memory", 24 * GB).set_index("variant")
    assert by_memory["front"].to_dict() == {"original": False, "fast": False, "int8": False, "int4": True}
    assert recommendation.points([], "quality", 0).empty


def drawn(known: list[Standing], total: float = 24 * GB) -> Any:
    return charts.trade_off(recommendation.points(known, "quality", total).assign(note=""), "tokens/s", "right", ".1~%")


def test_the_chart_has_bubbles_by_memory_and_the_front() -> None:
    line, *bubbles = drawn(KNOWN, 12 * GB).data
    assert list(line.x) == [15, 31]
    found = {bubble.name: bubble for bubble in bubbles}
    sizes = {variant: bubble.marker.size for variant, bubble in found.items()}
    assert (sizes["original"] / sizes["int8"]) ** 2 == pytest.approx(12 / 7)
    assert found["int4"].marker.color == charts.colour("int4")
    assert found["fast"].marker.color == "rgba(0,0,0,0)"
    assert found["fast"].marker.line.color == charts.colour("fast")
    assert list(found["original"].error_x.array) == [pytest.approx(1)]
    assert list(found["original"].error_y.arrayminus) == [pytest.approx(0.02)]
    assert found["int8"].text == ("int8",)


def test_speeds_far_apart_are_drawn_on_a_logarithmic_axis() -> None:
    assert drawn(KNOWN).layout.xaxis.type == "linear"
    figure = drawn([*KNOWN, standing("turbo", 400, 1, 0.9)])
    assert figure.layout.xaxis.type == "log"
    low, high = figure.layout.xaxis.range
    assert low < 1 < 2.6 < high


def test_names_do_not_cover_each_other_on_a_narrow_screen() -> None:
    speeds = {"original": 10, "fast": 11, "int8": 12, "int4": 13, "pruned": 14, "distilled": 16, "turbo": 18}
    known = [standing(variant, speed, 8, 0.9) for variant, speed in speeds.items()]
    places = [bubble.textposition for bubble in drawn(known).data[1:]]
    assert len(set(places)) > 1
    alone = drawn([standing("int4", 10, 4, 0.9)]).data[1]
    assert alone.textposition == "top center"
    doubtful = drawn([standing("int4", 10, 4, 0.9, spread=0.3, doubt=0.1)]).data[1]
    assert doubtful.textposition == "top right", "not on its interval"


def test_a_variant_of_unknown_memory_is_a_dot() -> None:
    bubble = drawn([standing("int4", 10, None, 0.9)]).data[1]
    assert bubble.marker.size == 12
