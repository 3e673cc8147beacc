"""Answers of a variant to the questions of the quality suite, one by one, and the figures that follow from them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import statistics
from benchmarks.measure.measurement import Params
from benchmarks.measure.statistics import Estimate

# Labels with accuracies of their own, beside the overall one.
GROUPS = (("skill",), ("language",), ("split",), ("skill", "language"))

Row = tuple[str, Params, Estimate]  # metric, params, value


@dataclass(frozen=True, slots=True)
class Graded:
    """One question and a variant's answer; `tokens` to `agreed` are sums over the expected answer's tokens."""

    variant: str
    number: int  # key of the question in its run
    labels: Mapping[str, str]
    history: Sequence[tuple[str, str]]
    question: str
    expected: str
    answer: str | None  # None if it did not end by itself
    right: bool | None  # None if no rule can tell
    tokens: int
    nats: float  # cross-entropy
    kl: float | None  # nats, KL(original ‖ variant); None without an original to compare with
    agreed: int | None  # tokens whose best choice equals the original's


def rows(graded: Sequence[Graded], scored: Params | None = None) -> Iterator[Row]:
    """The figures of one variant: accuracies with Wilson intervals; means per token, over resampled questions.

    Args:
        scored: the conditions in the run's settings; None in runs of earlier versions, whose KL is a lower bound.
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
    """The 99th percentile of the KL of all tokens, and the largest; `kl` has each question's tokens."""
    there = [values for values in kl if values is not None]
    if len(there) < len(kl):
        return
    params = _params(graded, scored)
    yield "kl_divergence", {**params, "quantile": 0.99}, statistics.quantile(there, 0.99)
    yield "kl_divergence", {**params, "quantile": 1.0}, Estimate(max(map(max, there)), len(there))


def kept_tails(measurements: Iterable[Mapping[str, Any]], variant: str) -> Iterator[Row]:
    """The rows of `tails` among a run's measurements: stored answers have sums, from which tails cannot be computed."""
    for row in measurements:
        if (row["variant"], row["metric"]) == (variant, "kl_divergence") and "quantile" in row["params"]:
            low, high = (None if row[end] is None or math.isnan(row[end]) else row[end] for end in ("low", "high"))
            yield row["metric"], row["params"], Estimate(row["value"], row["n"], low, high)


def _params(graded: Sequence[Graded], scored: Params | None) -> Params:
    """The params of figures of expected answers: texts, arithmetic, and the variant's own vocabulary if any."""
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
