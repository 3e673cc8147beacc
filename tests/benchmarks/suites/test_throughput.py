"""The throughput suite: batches in turn, ratios, and too large sizes."""

from dataclasses import replace

import pytest
from fake_hosts import FakeMachine
from fake_runs import Silent, rows, run_suites

from benchmarks.report import report
from benchmarks.run.record import Result
from benchmarks.run.workload import Workload

WORKLOAD = Workload((8,), 6, 3, batches=(1, 2, 4))


def _run(machine: FakeMachine, reporter: Silent | None = None) -> Result:
    return run_suites(machine, suites=("throughput",), reporter=reporter, workload=WORKLOAD)


def test_every_size_is_measured_in_turn() -> None:
    machine, reporter = FakeMachine(), Silent()
    result = _run(machine, reporter)
    (row,) = rows(result, "original", "throughput", batch=4)
    assert row.value == pytest.approx(4 / (0.010 * 9 / 6))
    assert (row.unit, row.n, row.params["prompt_tokens"], row.params["answer_tokens"]) == ("tokens/s", 3, 8, 6)
    (ratio,) = rows(result, "int4", "throughput_ratio", batch=2)
    assert ratio.value == pytest.approx(5)
    done = [variant for what, variant in machine.log if what == "batch"][-18:]
    first, second = ([f"{variant} {batch}" for batch in (1, 2, 4)] for variant in ("original", "int4"))
    assert done == first + second + second + first + first + second
    assert result.run.settings["arrangement"] == {"throughput": "interleaved"}
    assert result.run.settings["warm_up"]["throughput"]["int4"]["answers"] == 9
    assert reporter.steps == reporter.planned


@pytest.mark.parametrize("room", [99, 1])
def test_a_size_that_does_not_fit_is_a_result_and_smaller_ones_stay(room: int) -> None:
    machine = FakeMachine(room=room, largest_batch={"original": 4})
    result = _run(machine)
    assert [rows(result, "original", "throughput", batch=batch)[0].n for batch in (1, 2)] == [3, 3]
    assert not rows(result, "original", "throughput", batch=4)
    assert rows(result, "int4", "throughput", batch=4)[0].n == 3
    (failure,) = rows(result, "original", "failure")
    assert (failure.params["batch"], failure.params["kind"]) == (4, "MemoryShortError")
    assert result.status == "done"
    assert machine.loaded == set()
    assert report.failures(result.measurements)[0].startswith("original: throughput of batch 4 after 8 tokens failed: ")


def test_a_size_that_fits_only_alone_is_measured_alone() -> None:
    """The variants stay loaded side by side until a size needs the memory of the others."""
    machine = FakeMachine(largest_batch={"int4": 4})
    result = _run(machine)
    assert _rows_of(result, "int4") == {1, 2}
    assert _rows_of(result, "original") == {1, 2, 4}
    assert result.run.settings["arrangement"] == {"throughput": "blocks"}


@pytest.mark.parametrize(("room", "batches"), [(99, (1, 2)), (1, (1, 2)), (99, (1,))])
def test_no_process_is_measured_before_its_step_of_several_rows_is_compiled(
    room: int, batches: tuple[int, ...]
) -> None:
    machine = FakeMachine(room=room)
    run_suites(machine, suites=("throughput",), workload=replace(WORKLOAD, batches=batches))
    ready: set[str] = set()
    for what, who in machine.log:
        if what == "load":
            ready.discard(who)
        elif what == "ready":
            ready.add(who)
        elif what == "batch":
            assert (who.split()[0] in ready) == (max(batches) > 1)


def _rows_of(result: Result, variant: str) -> set[object]:
    return {row.params["batch"] for row in rows(result, variant, "throughput")}


def test_a_variant_that_cannot_be_loaded_fails_whole() -> None:
    result = _run(FakeMachine(too_large={"original"}))
    (failure,) = rows(result, "original", "failure")
    assert "batch" not in failure.params
    assert rows(result, "int4", "throughput", batch=4)[0].n == 3
