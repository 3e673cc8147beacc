"""Comparison: is B better or worse than A? Uses raw samples of two runs, or of two variants of one run; the unit is a
repeat.

Within a run the variants took turns, so repeat i of both saw the same state of the machine: the interval is Student's t
on the logarithms of the ratios, pair by pair, and common drift cancels out. Across runs it is Welch's t on the
logarithms, unpaired (Welch 1947, doi:10.1093/biomet/34.1-2.28). Logarithms, because times are positive and change by
factors; the displayed value is the geometric mean of the ratios, which the interval encloses.

The bootstrap of `benchmarks.measure.statistics` is worse here: in 1500 comparisons of equals (log-normal noise) the
percentile interval of the median ratio reported a difference in 23 %, 6 % and 7 % at 3, 5 and 10 pairs, where 5 % is
right; t reported one in 5 % at each, and Welch in 3 to 4 %. With stalls in a tenth of the repeats t reports 1 to 3 %,
but the studentised bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5) reports 8 %
at 10 pairs. Exact sign flips are right at 10 pairs but can report nothing at 5, where the smallest p is 2/32.

Figures of quality come from thousands of questions, paired wherever both sides answered the same ones: there the
bootstrap is valid (`benchmarks.report.compare_quality`).
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.environment.run_facts import remarks
from benchmarks.measure.caveat import Remark
from benchmarks.measure.measurement import METRICS, Params, params_text, shows_quantiles
from benchmarks.measure.statistics import CONFIDENCE, Estimate
from benchmarks.measure.wording import quantity, words
from benchmarks.report.compare_quality import changes
from benchmarks.report.report import aligned
from benchmarks.run.record import QUANTILES
from benchmarks.store.find_run import find_run
from fastglm.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.store.store import Store

COMPUTED = frozenset({"weights_memory", "cache_memory", "disk_size"})  # without noise every difference is real
_PARTS = ("batch", "prompt_tokens", "clients", "rate")  # part of a suite, if only this part failed
SAME = 1e-12  # spread of logarithms that is only rounding

Verdict = Literal["better", "worse", "undecided", "equal"]
Repeats = Mapping[int, float]  # the value of each repeat


@dataclass(frozen=True, slots=True)
class Side:
    """A or B: a run, and a variant if one is named."""

    name: str
    run: Mapping[str, Any]
    variant: str | None

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.run["id"])


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of both: medians of the repeats in the metric's unit, and B over A with its 95 % interval."""

    metric: str
    params: Params
    variants: tuple[str, str]
    a: float
    b: float
    ratio: Estimate
    paired: bool
    verdict: Verdict

    def worse_by(self, threshold: float) -> bool:
        """Tell whether B is surely worse by more than `threshold` (0.05: 5 % slower, larger, …)."""
        low, high = self.ratio.low, self.ratio.high
        if self.verdict != "worse" or low is None or high is None:
            return False
        return high < 1 - threshold if METRICS[self.metric].better == "higher" else low > 1 + threshold


@dataclass(frozen=True, slots=True)
class Comparison:
    """The common metrics of both sides, and remarks that weaken the comparison."""

    a: str
    b: str
    lines: Sequence[Line]
    failures: Sequence[Remark]  # failures of variants that ran in A
    notes: Sequence[Remark] = field(default_factory=tuple)

    def worse_by(self, threshold: float) -> bool:
        """Tell whether any metric is surely worse by more than `threshold`, or B failed where A ran."""
        return bool(self.failures) or any(line.worse_by(threshold) for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"failures": [*map(str, self.failures)], "notes": [*map(str, self.notes)]}

    def table(self) -> str:
        """A table with a line per metric, for the terminal."""
        rows: list[Sequence[str]] = [("metric", "of", "variant", "A", "B", "B / A", "95 % interval", "n", "B is")]
        for line in self.lines:
            unit, ratio = METRICS[line.metric].unit, line.ratio
            names = line.variants[0] if len(set(line.variants)) == 1 else " → ".join(line.variants)
            interval = "" if ratio.low is None or ratio.high is None else f"{_fine(ratio.low)} – {_fine(ratio.high)}"
            values = (quantity(line.a, unit), quantity(line.b, unit), _fine(ratio.value), interval)
            rows.append((line.metric, words(line.params), names, *values, str(ratio.n), line.verdict))
        heads = [f"A: {self.a}", f"B: {self.b}"]
        return "\n".join([*heads, *aligned(rows), *map(str, self.failures), *(f"note: {note}" for note in self.notes)])


def compare(store: "Store", a: str, b: str) -> Comparison:
    """Compare `RUN` or `RUN:VARIANT` with another; a side without a variant takes the other side's, or all.

    Raises `UsageError` for a missing run or variant, and if the sides have no metric in common.
    """
    runs = store.runs()
    sides = _side(runs, "A", a), _side(runs, "B", b)
    pairs = _pairs(*sides)
    samples = store.samples([side.id for side in sides])
    left, right = (_values(samples[samples["run"] == side.id]) for side in sides)
    lines, notes = [], list(_cautions(*sides))
    for one, other in pairs:
        for (variant, metric, text), before in left.items():
            after = right.get((other, metric, text))
            if variant != one or after is None:
                continue
            if metric not in METRICS:
                notes.append(Remark("unknown", {"metric": metric}))
            elif line := _line(metric, text, (one, other), before, after, paired=sides[0].id == sides[1].id):
                lines.append(line)
            else:
                notes.append(Remark("left-out", {"metric": metric, "variant": one}))
    for pair in pairs if all("quality" in side.run["suites"] for side in sides) else ():
        unlike = dict(_unlike(sides, pair))
        lines += _judged(store, sides, pair, unlike)
        notes += unlike.values()
    failures = list(_failures(store.measurements([side.id for side in sides], "failure"), sides, pairs))
    if not lines and not failures:
        raise UsageError(f"{a} and {b} have no measurement in common: compare runs of the same suites and lengths")
    if any(line.ratio.low is None for line in lines):
        notes.append(Remark("single"))
    if len(lines) >= 1 / (1 - CONFIDENCE):
        notes.append(Remark("alone"))
    notes = [note for i, note in enumerate(notes) if note not in notes[:i]]
    return Comparison(_title(sides[0]), _title(sides[1]), lines, failures, notes)


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Geometric mean of `b[i] / a[i]` and its t interval; values are positive."""
    logs = np.log(b) - np.log(a)
    return _estimate(float(logs.mean()), len(logs), np.ptp(logs), lambda: stats.ttest_1samp(logs, 0.0))


def unpaired_ratio(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Geometric mean of `b` over that of `a` and its Welch interval; `n` is the smaller number. Values are positive."""
    before, after = np.log(a), np.log(b)
    spread = max(np.ptp(before), np.ptp(after))
    mean, n = float(after.mean() - before.mean()), min(len(a), len(b))
    return _estimate(mean, n, spread, lambda: stats.ttest_ind(after, before, equal_var=False))


def _estimate(mean: float, n: int, spread: float, test: Callable[[], Any]) -> Estimate:
    """An estimate from a mean of logarithms and its test, which gives the interval; without any spread a point."""
    value = float(np.exp(mean))
    if n < 2:
        return Estimate(value, n)
    if spread < SAME:
        return Estimate(value, n, value, value)
    interval = test().confidence_interval(CONFIDENCE)
    return Estimate(value, n, float(np.exp(interval.low)), float(np.exp(interval.high)))


def _line(
    metric: str, text: str, variants: tuple[str, str], before: Repeats, after: Repeats, paired: bool
) -> Line | None:
    """One metric of both; None if no ratio can be formed."""
    both = sorted(before.keys() & after.keys())
    a, b = (([r[i] for i in both] if paired else list(r.values())) for r in (before, after))
    medians = [float(np.median(values)) if values else 0.0 for values in (a, b)]
    if not a or not b or (min(a + b) <= 0 and metric not in COMPUTED):
        return None
    if metric in COMPUTED:
        if medians[0] <= 0:
            return None
        value = medians[1] / medians[0]
        ratio = Estimate(value, min(len(a), len(b)), value, value)
    else:
        ratio = paired_ratio(a, b) if paired else unpaired_ratio(a, b)
    verdict = _verdict(metric, ratio)
    return Line(metric, json.loads(text), variants, medians[0], medians[1], ratio, paired, verdict)


def _judged(
    store: "Store", sides: tuple[Side, Side], pair: tuple[str, str], left_out: Collection[str]
) -> Iterator[Line]:
    """A line per metric of quality, over the questions that both sides answered."""
    tables = [store.answers(side.id) for side in sides]
    a, b = (table[table["variant"] == name] for table, name in zip(tables, pair, strict=True))
    for metric, before, after, ratio in changes(a, b, left_out):
        yield Line(metric, {}, pair, before, after, ratio, True, _verdict(metric, ratio))


def _unlike(sides: tuple[Side, Side], pair: tuple[str, str]) -> Iterator[tuple[str, Remark]]:
    """List differences in the scoring of a variant between the sides, by the metric that is left out for them (or a
    name).
    """
    scored = [side.run["settings"].get("scored", {}).get(name) for side, name in zip(sides, pair, strict=True)]
    if (scored[0] is None) != (scored[1] is None):
        yield "kl_divergence", Remark("bound-left-out")
    one, other = ((how or {}).get("arithmetic", "decoding") for how in scored)  # earlier versions had no other
    if one != other:
        yield "arithmetic", Remark("differ", {"what": "arithmetic", "one": one, "other": other})
    vocabularies = [(how or {}).get("vocabulary") for how in scored]
    if vocabularies[0] != vocabularies[1]:
        yield "perplexity", Remark("vocabulary-left-out", {"variant": pair[1]})


def _verdict(metric: str, ratio: Estimate) -> Verdict:
    """The verdict that the interval allows."""
    if ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high:
        return "equal" if metric in COMPUTED else "undecided"
    return "better" if (ratio.low > 1) == (METRICS[metric].better == "higher") else "worse"


def _side(runs: pd.DataFrame, name: str, text: str) -> Side:
    beginning, _, variant = text.partition(":")
    run = find_run(runs, beginning)
    if variant and variant not in run["variants"]:
        raise UsageError(f"run {run['id']} has no variant {variant}: choose from {', '.join(run['variants'])}")
    return Side(name, run, variant or None)


def _pairs(a: Side, b: Side) -> list[tuple[str, str]]:
    """The variants to compare with each other. Raises `UsageError` if each would be compared with itself."""
    first, second = a.variant or b.variant, b.variant or a.variant
    if a.id == b.id and first == second:
        raise UsageError(f"A and B are the same: name two variants of the run, such as {a.id}:original {a.id}:int4")
    if first and second:
        return [(first, second)]
    return [(variant, variant) for variant in a.run["variants"] if variant in b.run["variants"]]


def _values(samples: pd.DataFrame) -> dict[tuple[str, str, str], dict[int, float]]:
    """Variant, metric and params, with the value of each repeat; for token times, the repeat's quantiles."""
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in samples.to_dict("records"):
        for params, value in _of_repeat(row["metric"], row["params"], row["values"]):
            found.setdefault((row["variant"], row["metric"], params_text(params)), {})[row["repeat"]] = value
    return found


def _of_repeat(metric: str, params: Params, values: Sequence[float]) -> Iterator[tuple[Params, float]]:
    if metric in METRICS and shows_quantiles(metric, params):
        for q, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True):
            yield {**params, "quantile": q}, float(value)
    else:
        yield params, median(values)


def _failures(rows: pd.DataFrame, sides: tuple[Side, Side], pairs: Sequence[tuple[str, str]]) -> Iterator[Remark]:
    """One remark for every variant and suite that failed in B and not in A."""
    failed = [
        {
            (row["variant"], row["params"].get("suite"), *map(row["params"].get, _PARTS)): row["params"].get(
                "error", ""
            )
            for row in part.to_dict("records")
        }
        for part in (rows[rows["run"] == side.id] for side in sides)
    ]
    for one, other in pairs:
        for (variant, suite, *part), error in failed[1].items():
            before = (one, suite, *part) in failed[0] or (one, suite, None, None) in failed[0]
            if variant == other and suite in sides[0].run["suites"] and not before:
                yield Remark("failed-in-b", {"variant": other, "suite": suite, "error": error})


def _cautions(a: Side, b: Side) -> Iterator[Remark]:
    """Other differences between the sides, and remarks that weaken the comparison."""
    for side in (a, b) if a.id != b.id else (a,):
        yield from (replace(remark, run=side.id) for remark in remarks(side.run))
    if a.id == b.id:
        return
    for what, one, other in zip(("model", "code", "processor", "device", "torch"), _facts(a), _facts(b), strict=True):
        if one != other:
            yield Remark("differ", {"what": what, "one": one, "other": other})
    yield Remark("starts")


def _facts(side: Side) -> tuple[str, ...]:
    run, machine = side.run, side.run["machine"]
    device = machine.get("device", {}).get("name") or run["settings"].get("device")
    facts = (run["model"], run["code_version"], machine.get("cpu"), device, run["versions"].get("torch"))
    return tuple(str(fact or "unknown") for fact in facts)


def _title(side: Side) -> str:
    variant = f":{side.variant}" if side.variant else ""
    return f"{side.id}{variant}  {side.run['started']:%Y-%m-%d %H:%M} UTC  {side.run['model']}"


def _fine(ratio: float) -> str:
    """Format a ratio; near 1 it needs its third decimal."""
    return f"{ratio:.3f}" if 0.1 <= ratio < 10 else f"{ratio:.3g}"
