"""Ratios of speed between each of this project's variants and each peer, pair by pair, because both were measured in
turn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.measure import statistics
from benchmarks.measure.bounds import text, times
from benchmarks.measure.measurement import Params, Sample, params_text
from benchmarks.measure.statistics import Estimate
from benchmarks.measure.wording import words
from benchmarks.report.report import aligned

RATES = ("decode_rate", "prefill_rate", "throughput")


@dataclass(frozen=True, slots=True)
class Ratio:
    """A variant's rate divided by a peer's."""

    ours: str
    peer: str
    metric: str
    params: Params
    estimate: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"params": dict(self.params)}


def ratios(samples: Iterable[Sample], variants: Sequence[str], peers: Sequence[str]) -> list[Ratio]:
    """Ratios of every rate that one of `variants` and one of `peers` both have repeats of."""
    repeats: dict[tuple[str, str, str], dict[int, Sample]] = {}
    for sample in samples:
        if sample.metric in RATES:
            repeats.setdefault((sample.metric, params_text(sample.params), sample.variant), {})[sample.repeat] = sample
    found = []
    for (metric, params, variant), own in repeats.items():
        for peer in peers if variant in variants else ():
            theirs = repeats.get((metric, params, peer), {})
            if both := sorted(own.keys() & theirs.keys()):
                estimate = statistics.ratio([own[i].value for i in both], [theirs[i].value for i in both])
                found.append(Ratio(variant, peer, metric, own[both[0]].params, estimate))
    return found


def table(found: Sequence[Ratio]) -> str:
    """A table with a line for each variant and peer, and a column for each rate."""
    columns = list(dict.fromkeys((ratio.metric, words(ratio.params)) for ratio in found))
    cells = {
        (ratio.ours, ratio.peer, ratio.metric, words(ratio.params)): text([times(ratio.estimate)]) for ratio in found
    }
    pairs = list(dict.fromkeys((ratio.ours, ratio.peer) for ratio in found))
    lines: list[Sequence[str]] = [("ours", "over", *(f"{metric} {of}" for metric, of in columns))]
    lines += [(*pair, *(cells.get((*pair, *column), "") for column in columns)) for pair in pairs]
    return "\n".join(aligned(lines))
