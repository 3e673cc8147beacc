"""Repeats until figures are precise enough: the reason of the end, the report, and valid intervals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_hosts import FakeMachine, FakeTokenizer
from fake_runs import Silent, run_suites

from benchmarks.execution.runner import execute, prepare
from benchmarks.measure import statistics, stopping
from benchmarks.measure.measurement import Sample
from benchmarks.measure.stopping import Precision, Repeats, answers_of_a_process
from benchmarks.run.record import Record, Result
from benchmarks.run.workload import Workload
from benchmarks.store.run import Run
from benchmarks.store.store import Store
from fastglm.errors import UsageError


def _rates(result: Result) -> list[Sample]:
    return [sample for sample in result.samples if sample.metric == "decode_rate"]


def _loads(machine: FakeMachine) -> list[str]:
    return [variant for what, variant in machine.log if what == "load"]


def _run(machine: FakeMachine, precision: Precision, reporter: Silent, store: Any = None) -> Result:
    return run_suites(machine, reporter=reporter, store=store, workload=Workload((8,), 6, 6, precision=precision))


@pytest.mark.parametrize(
    ("width", "budget", "found"),
    [
        (None, None, (0.02, 300.0)),
        ("2%", "5m", (0.02, 300.0)),
        ("0.5 %", "90 s", (0.005, 90.0)),
        ("0.1", "1h", (0.1, 3600.0)),
        ("1%", "45", (0.01, 45.0)),
    ],
)
def test_precision_and_budget_are_read(width: str | None, budget: str | None, found: tuple[float, float]) -> None:
    assert Precision.read(width, budget) == Precision(*found)


@pytest.mark.parametrize(("width", "budget"), [("nan", "5m"), ("2%", "nan"), ("2%", "inf"), ("%", "5m"), ("2%", "")])
def test_senseless_precisions_are_refused(width: str, budget: str) -> None:
    with pytest.raises(UsageError):
        Precision.read(width, budget)


def test_steady_answers_need_the_fewest_repeats() -> None:
    reporter = Silent()
    result = _run(FakeMachine(noise=0, load_time=9.0), Precision(0.02, 3600), reporter)
    ended = result.run.settings["ended"]["latency"]
    assert (ended["by"], ended["repeats"], ended["width"]) == ("precision", 6, 0)
    assert {row.n for row in result.measurements if row.metric == "decode_rate"} == {6}
    ((each, least, most),) = reporter.estimates
    answers = 2 * 0.008 + 5 * (0.010 + 0.002)  # first tokens, then five more of both variants
    assert each == pytest.approx(2 * 9.0 + 16 * answers, rel=0.2)  # both are loaded, with 16 answers each
    assert (least, most) == (6, 100)
    assert reporter.steps == reporter.planned == 2 * (1 + 1 + 6)


@pytest.mark.parametrize(
    ("load", "each", "precision", "answers"),
    [
        (1.0, 1.0, Precision(), 2),
        (1.0, 0.1, Precision(), 8),
        (9.0, 0.01, Precision(), 16),
        (40.0, 1.0, Precision(), None),  # six times would take 6 minutes or more
        (40.0, 1.0, Precision(budget=600), 16),
        (1.0, 0.1, None, None),  # a count was requested
    ],
)
def test_processes_begin_anew_where_that_is_cheap(
    load: float, each: float, precision: Precision | None, answers: int | None
) -> None:
    assert answers_of_a_process(load, each, 6, precision) == answers


def test_every_repeat_begins_processes_and_the_first_alternates() -> None:
    machine = FakeMachine(noise=0, load_time=9.0)
    result = _run(machine, Precision(0.02, 3600), Silent())
    assert result.run.settings["processes"] == {"latency": 16}
    assert _loads(machine) == ["original", "int4", "int4", "original"] * 3
    assert [len(sample.values) for sample in _rates(result)] == [16] * 12
    assert {len(sample.values) for sample in result.samples if sample.metric == "decode_latency"} == {16 * 5}
    asked = {variant: [prompt for prompt in prompts if len(prompt) == 8] for variant, prompts in machine.asked.items()}
    assert asked["original"] == asked["int4"]
    assert machine.loaded == set()
    assert not list(stopping.remarks(result.run.settings))


def test_the_interval_includes_differences_between_processes() -> None:
    """Processes of the fake machine are slow or fast by a draw at their start."""
    draw = np.random.default_rng(1)
    machine = FakeMachine(noise=0, load_time=9.0, pace=lambda: float(draw.lognormal(0, 0.05)))
    result = _run(machine, Precision(0.9, 3600), Silent())
    (ratio,) = (row for row in result.measurements if row.metric == "decode_rate_ratio")
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low <= 5 <= ratio.high
    assert (ratio.high - ratio.low) / ratio.value > 0.05


def test_a_process_serves_all_repeats_if_loading_takes_too_long() -> None:
    machine = FakeMachine(noise=0, load_time=100.0)
    result = _run(machine, Precision(0.02, 300), Silent())
    assert result.run.settings["processes"] == {"latency": "one"}
    assert _loads(machine) == ["original", "int4"]
    (remark,) = stopping.remarks(result.run.settings)
    assert str(remark).startswith("each variant ran in one process")


def test_with_little_memory_a_turn_gives_all_answers_of_a_process() -> None:
    machine = FakeMachine(noise=0, load_time=9.0, room=1)
    result = _run(machine, Precision(0.02, 3600), Silent())
    assert result.run.settings["arrangement"] == {"latency": "blocks"}
    assert len(_loads(machine)) <= 2 + 2 * 6
    assert [len(sample.values) for sample in _rates(result)] == [16] * 12


def test_a_variant_that_crashes_leaves_no_part_of_a_repeat() -> None:
    machine = FakeMachine(noise=0, load_time=9.0, crash={"int4": 20})
    result = _run(machine, Precision(0.02, 3600), Silent())
    assert [row.variant for row in result.measurements if row.metric == "failure"] == ["int4"]
    assert {len(sample.values) for sample in _rates(result)} == {16}
    assert sum(sample.variant == "original" for sample in _rates(result)) == 6


def test_noisy_answers_are_repeated_until_the_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.run.workload.MOST", 12)
    reporter = Silent()
    result = _run(FakeMachine(noise=0.5), Precision(0.0001, 3600), reporter)
    ended = result.run.settings["ended"]["latency"]
    assert (ended["by"], ended["repeats"]) == ("maximum", 12)
    assert ended["width"] > 0.0001
    (remark,) = stopping.remarks({**result.run.settings, "precision": 0.0001})
    assert str(remark).startswith("12 repeats are the maximum")
    assert reporter.steps == reporter.planned


def test_the_budget_ends_repeats_but_not_before_the_fewest() -> None:
    reporter = Silent()
    result = _run(FakeMachine(noise=0.5), Precision(0.0001, 1e-6), reporter)
    ended = result.run.settings["ended"]["latency"]
    assert (ended["by"], ended["repeats"]) == ("budget", 6)
    assert reporter.estimates[0][1:] == (6, 6)
    assert reporter.steps == reporter.planned


def test_a_resumed_run_that_had_enough_repeats_measures_no_more(tmp_path: Path) -> None:
    store, precision = Store(f"sqlite:///{tmp_path / 'results.sqlite'}"), Precision(0.02, 3600)
    first = _run(FakeMachine(noise=0), precision, Silent(), store=store)
    again, reporter, workload = FakeMachine(), Silent(), Workload((8,), 6, 6, precision=precision)
    asked = prepare(workload, FakeTokenizer())
    result = execute(first.run, workload, asked, [], again.load, store, reporter, resumed=True)  # type: ignore[arg-type]
    assert result.status == "done"
    assert again.log == []
    assert reporter.steps == reporter.planned


def test_a_workload_is_that_of_its_settings() -> None:
    for workload in (Workload((8, 9), 6, 4), Workload(precision=Precision(0.01, 60), batches=(1, 3))):
        assert Workload.of(workload.as_dict()) == workload
    # From an earlier version.
    assert Workload.of({"prompt_tokens": [8], "answer_tokens": 6, "repeats": 4}) == Workload((8,), 6, 4)


def test_widths_are_of_the_baseline_and_of_ratios_to_it() -> None:
    record = Record(Run("demo", ("original", "int4"), ("latency",), machine={}, code_version="test"), None)
    draw = np.random.default_rng(0)
    for repeat, mood in enumerate(draw.lognormal(0, 0.2, 9)):
        record.add("original", "decode_rate", {}, repeat, 100 * mood)
        record.add("int4", "decode_rate", {}, repeat, 400 * mood)
    # Both of a pair share the machine's state.
    assert record.widest("decode_rate", ["int4"]) == pytest.approx(0, abs=1e-9)
    assert record.widest("decode_rate", ["original", "int4"]) > 0.05
    assert record.widest("ttft", ["original"]) == float("inf")


def test_expected_repeats_follow_from_the_widths() -> None:
    plan = Repeats(100, 6, Precision(0.02, 3600), 1.0)
    assert plan.expected(0) == 100  # as many as the budget allows
    assert plan.ended(10, lambda: 0.04) is None
    assert plan.expected(10) == 40  # half the width, four times the repeats
    assert plan.ended(40, lambda: 0.02) == "precision"
    fixed = Repeats(5, 5, None, 1.0)
    assert (fixed.bounds(2), fixed.expected(2), fixed.ended(4, lambda: 0.0)) == ((3, 3), 5, None)
    assert fixed.ended(5, lambda: 9.0) == "count"


def test_intervals_hold_the_truth_although_their_width_decides_when_to_stop() -> None:
    draw, trials, covered = np.random.default_rng(5), 100, 0
    for _ in range(trials):
        values = draw.lognormal(0, 0.02, 40).tolist()
        plan = Repeats(40, 6, Precision(0.02, 3600), 0.0)
        done = 6
        while plan.ended(done, lambda: statistics.half_width(values[:done])) is None:  # noqa: B023
            done += 1
        found = statistics.median(values[:done])
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 <= found.high
    assert covered / trials >= 0.9  # 0.95, less two standard errors
