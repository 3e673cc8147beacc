"""The measurements of a run so far: raw samples, their summary rows, and their way into the store."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks.measure import graded_answer, statistics
from benchmarks.measure.graded_answer import Graded, Row
from benchmarks.measure.measurement import METRICS, Measurement, Params, Sample, params_text, shows_quantiles
from benchmarks.measure.statistics import Estimate
from benchmarks.store.run import Run, Status
from fastglm.errors import FastGLMError

if TYPE_CHECKING:
    from benchmarks.store.store import Store  # imported late: needs SQLAlchemy, only to store results

QUANTILES = (0.5, 0.95, 0.99)  # quantiles of the time between tokens, and of the times of requests under load
COMPARED = ("ttft", "decode_rate", "throughput")  # metrics with a ratio to the baseline
SUMMARY_EVERY = 5.0  # seconds between summaries; raw samples are written at once

Key = tuple[str, str, str]  # variant, metric, params


class Keeper(Protocol):
    """The part of `benchmarks.store.store.Store` that a run writes to."""

    def add(self, measurements: list[Measurement]) -> None: ...

    def add_samples(self, run: str, samples: list[Sample]) -> None: ...

    def add_answers(self, run: str, answers: list[Graded]) -> None: ...


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a run."""

    run: Run
    status: Status
    measurements: list[Measurement]
    samples: list[Sample]
    answers: list[Graded]
    trouble: FastGLMError | None  # the store could not be written in the end


class Record:
    """Collects samples, and summarizes them as rows when asked. Nothing is lost if a store cannot be written for a
    while.
    """

    def __init__(self, run: Run, store: Keeper | None) -> None:
        self.run = run
        self.devices: dict[str, str] = {}  # facts of each loaded variant
        self.failures: list[Measurement] = []
        self.answers: list[Graded] = []
        self.trouble: FastGLMError | None = None  # error of the latest attempt to write
        self._store = store
        self._samples: dict[Key, dict[int, Sample]] = {}
        self._unwritten: list[Sample] = []
        self._unwritten_answers: list[Graded] = []
        self._rows: list[Measurement] = []  # number of answers
        self._touched: set[Key] = set()
        self._summarised = float("-inf")

    @property
    def baseline(self) -> str:
        """The variant that ratios refer to: `original`, or the first."""
        return "original" if "original" in self.run.variants else self.run.variants[0]

    def restore(self, store: "Store") -> None:
        """Take over the earlier measurements of a resumed run."""
        rows = store.measurements([self.run.id]).to_dict("records")
        measured = [{str(name): value for name, value in row.items()} for row in rows]
        self.devices = {row["variant"]: row["device"] for row in measured}
        for row in store.samples([self.run.id]).to_dict("records"):
            sample = Sample(row["variant"], row["metric"], row["params"], row["repeat"], tuple(row["values"]))
            self._samples.setdefault(sample.key, {})[sample.repeat] = sample
        self._touched = set(self._samples)  # it may have stopped before it summed up
        known = store.answers(self.run.id).to_dict("records")
        answers = [Graded(**{str(name): value for name, value in row.items()}) for row in known]
        for variant in dict.fromkeys(answer.variant for answer in answers):
            of_variant = [answer for answer in answers if answer.variant == variant]
            scored = self.run.settings.get("scored", {}).get(variant)
            figures = [*graded_answer.rows(of_variant, scored), *graded_answer.kept_tails(measured, variant)]
            self.grade(variant, of_variant, figures)

    def has(self, variant: str, metric: str, params: Params, repeat: int = 0) -> bool:
        """Tell whether this sample exists already."""
        return repeat in self._samples.get((variant, metric, params_text(params)), {})

    def has_answers(self, variant: str) -> bool:
        """Tell whether the variant has answered all questions: its answers are stored together."""
        return any(answer.variant == variant for answer in self.answers)

    def add(self, variant: str, metric: str, params: Params, repeat: int, *values: float) -> None:
        """Add one sample, in place of an earlier one of the same repeat."""
        sample = Sample(variant, metric, dict(params), repeat, values)
        self._samples.setdefault(sample.key, {})[repeat] = sample
        self._unwritten.append(sample)
        self._touched.add(sample.key)

    def grade(self, variant: str, answers: Sequence[Graded], rows: Iterable[Row]) -> None:
        """Add a variant's answers to all questions, and the figures of these answers."""
        self.answers += answers
        self._unwritten_answers += answers
        self._rows += [self._row(variant, *row) for row in rows]

    def fail(self, variant: str, params: Params) -> None:
        """Record that a variant could not be measured, which is a result too."""
        self.failures.append(self._row(variant, "failure", params, Estimate(1.0, 1)))

    def save(self, everything: bool = False) -> None:
        """Write the new samples, and now and then (or with `everything`) the changed rows. Errors are kept in
        `trouble`.
        """
        if self._store is None:
            return
        try:
            self._store.add_samples(self.run.id, self._unwritten)
            self._unwritten = []
            self._store.add_answers(self.run.id, self._unwritten_answers)
            self._unwritten_answers = []
            if everything or time.monotonic() - self._summarised > SUMMARY_EVERY:
                self._store.add([*self._summaries(self._touched), *self._rows, *self.failures])
                self._touched = set()
                self._summarised = time.monotonic()
            self.trouble = None
        except FastGLMError as error:
            self.trouble = error

    def samples(self) -> list[Sample]:
        """All samples, grouped by row."""
        return [sample for repeats in self._samples.values() for _, sample in sorted(repeats.items())]

    def widest(self, metric: str, variants: Sequence[str]) -> float:
        """The largest `statistics.half_width` of a metric: of the baseline, and of the others' ratios to it."""
        found = [float("inf")]
        for (variant, name, params), repeats in self._samples.items():
            if name == metric and variant in variants:
                base = self._samples.get((self.baseline, name, params), {}) if variant != self.baseline else {}
                both = repeats.keys() & base.keys() or repeats.keys()
                ratios = [repeats[i].value / (base[i].value if base else 1) for i in sorted(both)]
                found.append(statistics.half_width(ratios))
        return max(found[1:], default=found[0])

    def measurements(self) -> list[Measurement]:
        """All rows."""
        return [*self._summaries(set(self._samples)), *self._rows, *self.failures]

    def _summaries(self, touched: set[Key]) -> Iterator[Measurement]:
        for key, repeats in self._samples.items():
            variant, metric, params = key
            base = (self.baseline, metric, params)
            if key in touched:
                yield from self._own(repeats)
            if metric in COMPARED and variant != self.baseline and base in self._samples and {key, base} & touched:
                yield from self._ratio(repeats, self._samples[base])

    def _own(self, repeats: Mapping[int, Sample]) -> Iterator[Measurement]:
        samples = list(repeats.values())
        variant, metric, params = samples[0].variant, samples[0].metric, samples[0].params
        if shows_quantiles(metric, params):
            for q in QUANTILES:
                estimate = statistics.quantile([sample.values for sample in samples], q)
                yield self._row(variant, metric, {**params, "quantile": q}, estimate)
        else:
            yield self._row(variant, metric, params, statistics.median([sample.value for sample in samples]))

    def _ratio(self, repeats: Mapping[int, Sample], base: Mapping[int, Sample]) -> Iterator[Measurement]:
        both = sorted(repeats.keys() & base.keys())
        if both:
            sample = repeats[both[0]]
            estimate = statistics.ratio([repeats[i].value for i in both], [base[i].value for i in both])
            params = {**sample.params, "baseline": self.baseline}
            yield self._row(sample.variant, f"{sample.metric}_ratio", params, estimate)

    def _row(self, variant: str, metric: str, params: Params, estimate: Estimate) -> Measurement:
        return Measurement(
            run=self.run.id,
            model=self.run.model,
            variant=variant,
            device=self.devices.get(variant, str(self.run.settings.get("device", ""))),
            metric=metric,
            params=params,
            value=estimate.value,
            unit=METRICS[metric].unit,
            n=estimate.n,
            low=estimate.low,
            high=estimate.high,
        )
