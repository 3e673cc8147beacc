"""Answers of two variants, or runs, to the same questions."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import graded
from benchmarks.answered import judgements
from benchmarks.compare import compare
from benchmarks.graded import Graded
from benchmarks.record import Record
from benchmarks.run import Run
from benchmarks.store import Store


def answers(right: list[bool], nats: float = 1.0, kl: float | None = 0.1, first: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "labels": {"skill": "sums"},
            "history": [],
            "question": f"question {first + number}",
            "expected": "!",
            "right": hit,
            "tokens": 2 + number % 3,
            "nats": nats * (2 + number % 3),
            "kl": kl,
            "agreed": 1,
        }
        for number, hit in enumerate(right)
    )


def found(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    return {line.metric: (line.a, line.b, line.ratio.value) for line in judgements(a, b)}


def test_figures_of_both_sides_and_their_ratio() -> None:
    lines = found(answers([True] * 8 + [False] * 2), answers([True] * 6 + [False] * 4, nats=1.5, kl=0.3))
    assert lines["skill_accuracy"] == (0.8, 0.6, pytest.approx(0.75))
    assert lines["perplexity"] == pytest.approx((math.e, math.exp(1.5), math.exp(0.5)))
    assert lines["kl_divergence"][2] == pytest.approx(3)
    assert lines["top1_agreement"][2] == 1


def test_only_what_both_were_asked_counts() -> None:
    lines = found(answers([True] * 4), answers([True, False], first=3))
    assert lines["skill_accuracy"][:2] == (1, 1)
    assert found(answers([True]), answers([True], first=1)) == {}


def test_what_one_side_lacks_is_left_out() -> None:
    assert set(found(answers([True] * 3), answers([True] * 3, kl=None))) == {
        "skill_accuracy",
        "perplexity",
        "top1_agreement",
    }
    assert "skill_accuracy" not in found(answers([False] * 3), answers([True] * 3))


def test_equals_are_rarely_called_different_and_a_loss_of_three_points_is_found() -> None:
    draw = np.random.default_rng(0)
    called, lost = 0, 0
    for _ in range(20):
        one, other = (draw.random(500) < 0.95 for _ in range(2))
        (line,) = (line for line in judgements(answers(list(one)), answers(list(other))) if line.metric[0] == "s")
        called += not (line.ratio.low or 0) <= 1 <= (line.ratio.high or 0)
        (line,) = (
            line
            for line in judgements(answers(list(one)), answers(list(one & (draw.random(500) < 0.97))))
            if line.metric[0] == "s"
        )
        lost += (line.ratio.high or 2) < 1
    assert called <= 4
    assert lost >= 18


def test_two_variants_of_a_run_are_compared(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'results.sqlite'}")
    run = Run("demo", ("original", "int4"), ("quality",), machine={})
    store.start_run(run)
    record = Record(run, store)
    for variant, hits in (("original", 60), ("int4", 40)):
        labels = {"skill": "a", "split": "b", "language": "c"}
        given = [Graded(variant, n, labels, [], f"q{n}", "e", "x", n < hits, 3, 1.0, 0.1, 2) for n in range(60)]
        record.grade(variant, given, graded.rows(given))
    record.save(everything=True)
    store.finish(run.id, "done")
    comparison = compare(store, f"{run.id}:original", f"{run.id}:int4")
    verdicts = {line.metric: line.verdict for line in comparison.lines}
    assert verdicts == {
        "skill_accuracy": "worse",
        "perplexity": "undecided",
        "kl_divergence": "undecided",
        "top1_agreement": "undecided",
    }
    assert comparison.worse_by(0.05)
