"""Answers of two variants or runs to the same questions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.measure import graded_answer
from benchmarks.measure.graded_answer import Graded
from benchmarks.report.compare import compare
from benchmarks.report.compare_quality import changes
from benchmarks.run.record import Record
from benchmarks.store.run import Run
from benchmarks.store.store import Store


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


def found(a: pd.DataFrame, b: pd.DataFrame, *left_out: str) -> dict[str, tuple[float, float, float]]:
    return {metric: (before, after, ratio.value) for metric, before, after, ratio in changes(a, b, left_out)}


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


def test_figures_that_one_side_lacks_are_left_out() -> None:
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
        pairs = (other, one & (draw.random(500) < 0.97))
        same, worse = (next(changes(answers(list(one)), answers(list(b))))[3] for b in pairs)  # of skill_accuracy
        called += not (same.low or 0) <= 1 <= (same.high or 0)
        lost += (worse.high or 2) < 1
    assert called <= 4
    assert lost >= 18


def test_across_vocabularies_bits_per_byte_take_the_place_of_perplexity() -> None:
    a, b = answers([True] * 8), answers([True] * 8, nats=1.5)
    lines = found(a, b, "perplexity", "kl_divergence")
    assert set(lines) == {"skill_accuracy", "bits_per_byte", "top1_agreement"}
    tokens = sum(2 + number % 3 for number in range(8))
    assert lines["bits_per_byte"][0] == pytest.approx(tokens / math.log(2) / 8)  # "!" is a byte
    assert lines["bits_per_byte"][2] == pytest.approx(1.5)


def kept(store: Store, settings: dict[str, Any], variants: tuple[str, ...] = ("original", "int4")) -> str:
    """A stored run with the answers of each variant."""
    run = Run("demo", variants, ("quality",), settings, machine={})
    store.start_run(run)
    record = Record(run, store)
    for variant, hits in zip(variants, (60, 40), strict=False):
        labels = {"skill": "a", "split": "b", "language": "c"}
        given = [Graded(variant, n, labels, [], f"q{n}", "e", "x", n < hits, 3, 1.0, 0.1, 2) for n in range(60)]
        scored = settings.get("scored", {}).get(variant)
        tails = graded_answer.tails([[0.1, 0.0, 0.0]] * 60, given, scored) if scored else ()
        record.grade(variant, given, [*graded_answer.rows(given, scored), *tails])
    record.save(everything=True)
    store.finish(run.id, "done")
    return run.id


def scored(arithmetic: str, **more: Any) -> dict[str, Any]:
    how = {"arithmetic": arithmetic, "precision": "float32 on cpu", **more}
    return {"arithmetic": arithmetic, "scored": {"original": how, "int4": how}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'results.sqlite'}")


def test_two_variants_of_a_run_are_compared(store: Store) -> None:
    run = kept(store, scored("exact"))
    comparison = compare(store, f"{run}:original", f"{run}:int4")
    verdicts = {line.metric: line.verdict for line in comparison.lines}
    assert verdicts == {
        "skill_accuracy": "worse",
        "perplexity": "undecided",
        "kl_divergence": "undecided",
        "top1_agreement": "undecided",
    }
    assert comparison.worse_by(0.05)
    assert {note.key for note in comparison.notes} == {"exact"}


def test_lower_bounds_are_compared_with_lower_bounds_only(store: Store) -> None:
    old, older, new = kept(store, {"device": "cpu"}), kept(store, {"device": "cpu"}), kept(store, scored("exact"))
    bounds = compare(store, f"{older}:int4", f"{old}:int4")
    assert "kl_divergence" in {line.metric for line in bounds.lines}
    assert [note.run for note in bounds.notes if note.key == "lower-bound"] == [older, old]
    for a, b in ((old, new), (new, old)):
        mixed = compare(store, f"{a}:int4", f"{b}:int4")
        assert {line.metric for line in mixed.lines} == {"skill_accuracy", "perplexity", "top1_agreement"}
        keys = {note.key for note in mixed.notes}
        assert {"bound-left-out", "lower-bound", "exact", "differ"} <= keys


def test_another_arithmetic_is_told(store: Store) -> None:
    one, other = kept(store, scored("exact")), kept(store, scored("decoding"))
    comparison = compare(store, one, other)
    assert "kl_divergence" in {line.metric for line in comparison.lines}
    assert "the runs differ in arithmetic: exact → decoding" in map(str, comparison.notes)
    assert len([note for note in comparison.notes if note.values.get("what") == "arithmetic"]) == 1


def test_another_vocabulary_is_told(store: Store) -> None:
    one, other = kept(store, scored("exact")), kept(store, scored("exact", vocabulary=9000))
    comparison = compare(store, f"{one}:int4", f"{other}:int4")
    assert {"bits_per_byte"} == {line.metric for line in comparison.lines} - {
        "skill_accuracy", "top1_agreement", "kl_divergence"
    }  # fmt: skip
    assert any("the vocabularies differ; bits per byte" in str(note) for note in comparison.notes)


def test_a_resumed_run_keeps_the_tails_of_kl(store: Store) -> None:
    settings = scored("exact")
    run = kept(store, settings)
    row = next(row for row in store.runs().to_dict("records") if row["id"] == run)
    again = Record(Run("demo", row["variants"], row["suites"], settings, id=run, machine={}), store)
    again.restore(store)
    found = {
        (row.variant, row.params.get("quantile")): row for row in again.measurements() if row.metric == "kl_divergence"
    }
    assert found.keys() == {(name, q) for name in ("original", "int4") for q in (None, 0.99, 1.0)}
    assert all(row.params["arithmetic"] == "exact" for row in found.values())
    assert (found["int4", 1.0].value, found["int4", 1.0].low) == (0.1, None)
