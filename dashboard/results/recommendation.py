"""The recommended variant: the newest figures of each, the Pareto front, and the rule that recommends one."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from benchmarks.measure.measurement import params_text
from fastglm.variants.variants import VARIANTS

# The two sides of a judgement: the suite that measures it, and its metrics in order of preference.
SIDES = {
    "speed": ("latency", ("decode_rate",)),
    "memory": ("memory", ("peak_memory", "weights_memory")),
    "quality": ("quality", ("skill_accuracy", "top1_agreement")),
}
# Params of figures about everything, not about a part.
OVERALL = {"prompt_tokens", "answer_tokens", "during", "texts", "arithmetic"}
PROMPT = 128  # tokens; the preferred length
RECENT = 5  # runs of each suite and variant that are used
SHARE = 0.9  # share of a device's memory for a variant: the system and others need some too
MARGIN = 0.02  # share of quality that may be lost
LOSSLESS = ("original", "fast", "speculative")  # variants with published weights


@dataclass(frozen=True, slots=True)
class Value:
    """A figure and its 95 % interval, which is a point if the spread is unknown."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Known figures of a variant on a machine: tokens/s, bytes, a fraction; and whether it ran out of memory there."""

    variant: str
    speed: Value | None = None
    memory: Value | None = None
    quality: Value | None = None
    short: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """The variant to run (None: none is known to be good enough), and remarks on it."""

    pick: Standing | None
    baseline: Standing | None  # the reference of quality: original, or the best other variant if original cannot run
    original: Literal["runs", "too big", "unknown"]
    careful: Standing | None  # the variant with the best answers of all, if better than the pick's
    unknown: tuple[str, ...]  # variants of unknown quality that would be faster than the pick


def device(machines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Known facts about a machine's device, from the first of its runs that has some."""
    return next((facts["device"] for facts in machines if isinstance(facts.get("device"), dict)), {})


def recent(runs: pd.DataFrame) -> list[str]:
    """The ids of the newest finished runs, newest first: a few of each suite and variant."""
    done = runs.loc[runs["status"] == "done", ["id", "suites", "variants"]]
    each = done.explode("suites").explode("variants")
    return each.groupby(["suites", "variants"], sort=False).head(RECENT)["id"].drop_duplicates().tolist()


def newest(rows: pd.DataFrame, runs: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The newest row of each variant for each of `SIDES` (in a column `side`), and newer failures of the variant.

    All rows of a side were measured in the same way: the one that most variants share.

    Args:
        rows: measurements of `runs`, which are ids, newest first.
    """
    ages = {run: age for age, run in enumerate(runs)}
    rows = rows.assign(age=rows["run"].map(ages)).sort_values("age", kind="stable")
    suites = pd.Series([params.get("suite") for params in rows["params"]], rows.index, dtype=object)
    found, failures = [], []
    for side, (suite, metrics) in SIDES.items():
        failed = rows[(rows["metric"] == "failure") & (suites == suite)].drop_duplicates("variant")
        overall = pd.Series([_overall(params) for params in rows["params"]], rows.index, dtype=bool)
        values = rows[rows["metric"].isin(metrics) & overall]
        values = values[~_older(values, failed)]
        found.append(_alike(values, metrics).assign(side=side))
        failures.append(failed[~failed["variant"].isin(values["variant"])])
    return pd.concat(found), pd.concat(failures)


def standings(found: pd.DataFrame, failures: pd.DataFrame) -> list[Standing]:
    """The results of `newest` by variant, in the order of `VARIANTS`."""
    short = {
        variant
        for variant, params in zip(failures["variant"], failures["params"], strict=True)
        if params.get("kind") == "MemoryShortError"
    }
    known: dict[str, dict[str, Value]] = {variant: {} for variant in sorted(short)}
    for row in found.to_dict("records"):
        low, high = (row["value"] if pd.isna(row[end]) else row[end] for end in ("low", "high"))
        known.setdefault(row["variant"], {})[row["side"]] = Value(row["value"], low, high)
    names = [name for name in VARIANTS if name in known]
    names += [name for name in known if name not in VARIANTS]
    return [Standing(name, short=name in short, **known[name]) for name in names]


def fits(standing: Standing, total: float) -> bool:
    """Tell whether a variant fits on a device with `total` bytes of memory; if that is unknown, whether it ran."""
    return not standing.short and (standing.memory is None or not total or standing.memory.value <= SHARE * total)


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Mark the points on the Pareto front: no other point is as high in both numbers and higher in one."""
    return [
        not any(other != point and other[0] >= point[0] and other[1] >= point[1] for other in points)
        for point in points
    ]


def points(known: Sequence[Standing], by: Literal["quality", "memory"], total: float) -> pd.DataFrame:
    """Points for `charts.trade_off`: speed against `by`, a row per variant; the front contains only variants that
    fit.
    """
    rows: list[dict[str, Any]] = []
    for standing in known:
        x, y = standing.speed, standing.quality if by == "quality" else standing.memory
        if x and y:
            ends = {"x": x.value, "x_low": x.low, "x_high": x.high, "y": y.value, "y_low": y.low, "y_high": y.high}
            memory = standing.memory.value if standing.memory else float("nan")
            rows.append({"variant": standing.variant, **ends, "size": memory, "fits": fits(standing, total)})
    able = [row for row in rows if row["fits"]]
    good = front([(row["x"], row["y"] if by == "quality" else -row["y"]) for row in able])
    best = {row["variant"] for row, is_best in zip(able, good, strict=True) if is_best}
    return pd.DataFrame([{**row, "front": row["variant"] in best} for row in rows])


def recommend(known: Sequence[Standing], total: float) -> Advice:
    """Recommend the fastest variant that fits into `total` bytes and keeps the quality; among equally fast ones, the
    smallest.

    A variant keeps the quality if it is not surely more than `MARGIN` below the baseline, by both intervals. If one of
    the two is not measured, only a variant that is lossless by design keeps it. Variants whose intervals of speed
    overlap are equally fast.
    """
    able = [standing for standing in known if standing.speed and fits(standing, total)]
    best = max((standing for standing in able if standing.quality), key=_goodness, default=None)
    original = next((standing for standing in able if standing.variant == "original"), None)
    baseline = original or best
    good = [standing for standing in able if _keeps_quality(standing, baseline)]
    pick = _fastest(good)
    better = best and pick and best.quality and pick.quality and best.quality.value > pick.quality.value
    return Advice(
        pick,
        baseline,
        "runs" if original else _without_original(known, total),
        best if better else None,
        tuple(_unknown(able, good, baseline, pick)),
    )


def _overall(params: Mapping[str, Any]) -> bool:
    return params.keys() <= OVERALL and params.get("during") != "load"


def _older(values: pd.DataFrame, failed: pd.DataFrame) -> pd.Series:
    """Mark the rows from before the variant failed."""
    ends = dict(zip(failed["variant"], failed["age"], strict=True))
    return values["age"] > pd.Series([ends.get(name, float("inf")) for name in values["variant"]], values.index, float)


def _alike(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The newest row of each variant, all of one metric with equal params; `rows` are newest first."""
    ways = list(zip(rows["metric"], map(params_text, rows["params"]), strict=True))
    lengths = [params.get("prompt_tokens") for params in rows["params"]]
    distance = {way: abs(n - PROMPT) if isinstance(n, int) else 0 for way, n in zip(ways, lengths, strict=True)}
    shared = Counter(way for way, _ in dict.fromkeys(zip(ways, rows["variant"], strict=True)))
    chosen = max(shared, key=lambda way: (shared[way], -metrics.index(way[0]), -distance[way]), default=None)
    return rows[pd.Series([way == chosen for way in ways], rows.index, dtype=bool)].drop_duplicates("variant")


def _goodness(standing: Standing) -> tuple[float, float]:
    return standing.quality.value if standing.quality else 0.0, standing.speed.value if standing.speed else 0.0


def _keeps_quality(standing: Standing, baseline: Standing | None) -> bool:
    if standing.quality and baseline and baseline.quality:
        return standing.quality.high >= baseline.quality.low - MARGIN
    return standing.variant in LOSSLESS


def _fastest(good: Sequence[Standing]) -> Standing | None:
    speeds = {standing.variant: standing.speed for standing in good if standing.speed}
    if not speeds:
        return None
    first = max(speeds.values(), key=lambda speed: speed.value)
    tied = [standing for standing in good if speeds[standing.variant].high >= first.low]
    return min(
        tied,
        key=lambda standing: (
            standing.memory.value if standing.memory else float("inf"),
            -speeds[standing.variant].value,
        ),
    )


def _without_original(known: Sequence[Standing], total: float) -> Literal["too big", "unknown"]:
    big = any(standing.variant == "original" and not fits(standing, total) for standing in known)
    return "too big" if big else "unknown"


def _unknown(
    able: Sequence[Standing], good: Collection[Standing], baseline: Standing | None, pick: Standing | None
) -> Iterator[str]:
    """The variants that are excluded only because their quality, or the baseline's, has not been measured."""
    least = pick.speed.value if pick and pick.speed else 0.0
    for standing in able:
        judged = standing.quality and baseline and baseline.quality
        if standing not in good and not judged and standing.speed and standing.speed.value > least:
            yield standing.variant
