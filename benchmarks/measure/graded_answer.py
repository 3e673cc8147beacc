"""What a variant made of the questions of the quality suite, one by one, and the figures they amount to."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import statistics
from benchmarks.measure.measurement import Params
from benchmarks.measure.statistics import Estimate

GROUPS = (("skill",), ("language",), ("split",), ("skill", "language"))  # that accuracies are given for, beside all

Row = tuple[str, Params, Estimate]  # metric, params, value


@dataclass(frozen=True, slots=True)
class Graded:
    """One question and a variant's answer; `tokens` to `agreed` are of the expected answer, summed over its tokens."""

    variant: str
    number: int  # of the question in its run
    labels: Mapping[str, str]
    history: Sequence[tuple[str, str]]
    question: str
    expected: str
    answer: str | None  # None where it did not come to an end
    right: bool | None  # None where nobody can tell
    tokens: int
    nats: float  # cross-entropy
    kl: float | None  # nats, KL(original ‖ variant); None where there is no original to compare with
    agreed: int | None  # tokens where the likeliest is the original's


def rows(graded: Sequence[Graded], scored: Params | None = None) -> Iterator[Row]:
    """The figures of one variant: accuracies with Wilson intervals; means a token, over resampled questions.

    Args:
        scored: how it was, as the run's settings have it; None in runs of earlier versions, whose KL is a lower bound.
    """
    known = [answer for answer in graded if answer.right is not None]
    if known:
        yield "skill_accuracy", {}, _share(known)
    for group in GROUPS if known else ():
        for params, members in _grouped(known, group):
            yield "skill_accuracy", params, _share(members)
    params = _params(graded, scored)
    nats, tokens = [answer.nats for answer in graded], [answer.tokens for answer in graded]
    loss = statistics.mean_ratio(nats, tokens)
    yield "perplexity", params, statistics.exp(loss)
    bits = [total / math.log(2) for total in nats]
    yield "bits_per_byte", params, statistics.mean_ratio(bits, [len(answer.expected.encode()) for answer in graded])
    for metric, values in (
        ("kl_divergence", [answer.kl for answer in graded]),
        ("top1_agreement", [answer.agreed for answer in graded]),
    ):
        there = [value for value in values if value is not None]
        if len(there) == len(values):
            yield metric, params, statistics.mean_ratio(there, tokens)


def tails(kl: Sequence[Sequence[float] | None], graded: Sequence[Graded], scored: Params) -> Iterator[Row]:
    """The 99th percentile of the KL of all tokens, and the largest; `kl` is of each question, token by token."""
    there = [values for values in kl if values is not None]
    if len(there) < len(kl):
        return
    params = _params(graded, scored)
    yield "kl_divergence", {**params, "quantile": 0.99}, statistics.quantile(there, 0.99)
    yield "kl_divergence", {**params, "quantile": 1.0}, Estimate(max(map(max, there)), len(there))


def kept_tails(measurements: Iterable[Mapping[str, Any]], variant: str) -> Iterator[Row]:
    """The rows of `tails` among measurements of a run: answers are kept with sums, which cannot give them anew."""
    for row in measurements:
        if (row["variant"], row["metric"]) == (variant, "kl_divergence") and "quantile" in row["params"]:
            low, high = (None if row[end] is None or math.isnan(row[end]) else row[end] for end in ("low", "high"))
            yield row["metric"], row["params"], Estimate(row["value"], row["n"], low, high)


def _params(graded: Sequence[Graded], scored: Params | None) -> Params:
    """The parameters of figures of expected answers: texts, arithmetic, and a vocabulary of the variant's own."""
    source = {"texts": graded[0].labels["texts"]} if "texts" in graded[0].labels else {}
    return source | {name: value for name, value in (scored or {}).items() if name in ("arithmetic", "vocabulary")}


def _grouped(graded: Sequence[Graded], names: Sequence[str]) -> Iterator[tuple[Params, list[Graded]]]:
    groups: dict[tuple[str, ...], list[Graded]] = {}
    for answer in graded:
        groups.setdefault(tuple(answer.labels[name] for name in names), []).append(answer)
    for values, members in groups.items():
        yield dict(zip(names, values, strict=True)), members


def _share(graded: Sequence[Graded]) -> Estimate:
    return statistics.share(sum(bool(answer.right) for answer in graded), len(graded))
