"""Comparison of two variants' answers to the same questions: figures of both, and B over A with whole questions
resampled.
"""

import json
import math
from collections.abc import Collection, Iterator

import pandas as pd

from benchmarks.measure import statistics
from benchmarks.measure.statistics import Estimate

ASKED = ["labels", "history", "question", "expected"]  # columns that identify a question

Change = tuple[str, float, float, Estimate]  # a metric, its values for A and B over the shared questions, and B over A


def changes(a: pd.DataFrame, b: pd.DataFrame, left_out: Collection[str] = ()) -> Iterator[Change]:
    """Compare two tables of `Store.answers`, each of one variant; empty if they share no question.

    A metric whose sum is 0 on a side has no ratio, and is left out.

    Args:
        left_out: metrics that differ in kind between the sides; bits per byte replace perplexity.
    """
    both = _keyed(a).merge(_keyed(b), left_index=True, right_index=True, suffixes=("_a", "_b"))
    if both.empty:
        return
    known = both[both["right_a"].notna() & both["right_b"].notna()]
    yield from _shares("skill_accuracy", known["right_a"], known["right_b"], pd.Series(1.0, known.index))
    tokens = both["tokens_a"]
    losses = [float(both[side].sum() / tokens.sum()) for side in ("nats_a", "nats_b")]
    change = statistics.mean_ratio((both["nats_b"] - both["nats_a"]).tolist(), tokens.tolist())
    if "perplexity" in left_out:
        sizes = both["bytes_a"]
        yield from _shares("bits_per_byte", both["nats_a"] / math.log(2), both["nats_b"] / math.log(2), sizes)
    else:
        yield "perplexity", math.exp(losses[0]), math.exp(losses[1]), statistics.exp(change)
    for metric, column in (("kl_divergence", "kl"), ("top1_agreement", "agreed")):
        if metric not in left_out and both[[f"{column}_a", f"{column}_b"]].notna().all(axis=None):
            yield from _shares(metric, both[f"{column}_a"], both[f"{column}_b"], tokens)


def _keyed(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers by question; a question that was asked twice counts once."""
    keys = [json.dumps(row, sort_keys=True) for row in answers[ASKED].to_dict("records")]
    sizes = answers["expected"].map(lambda text: len(text.encode()))
    table = answers.assign(bytes=sizes)[["right", "tokens", "nats", "kl", "agreed", "bytes"]]
    table = table.set_axis(keys, axis="index")
    return table[~table.index.duplicated()]


def _shares(metric: str, a: pd.Series, b: pd.Series, sizes: pd.Series) -> Iterator[Change]:
    before, after, all_ = float(a.sum()), float(b.sum()), float(sizes.sum())
    if before > 0 and after > 0:
        ratio = statistics.mean_ratio(b.astype(float).tolist(), a.astype(float).tolist())
        yield metric, before / all_, after / all_, ratio
