"""A run that is stopped or killed at any moment resumes where it stopped."""

from pathlib import Path

import pytest
from fake_hosts import FakeMachine, FakeTokenizer
from fake_runs import WORKLOAD, Silent

from benchmarks.cli.commands import main
from benchmarks.execution import resume
from benchmarks.execution.runner import execute, prepare
from benchmarks.measure.measurement import params_text
from benchmarks.store.run import Run
from benchmarks.store.store import Store
from fastglm.errors import UsageError

OPTIONS = ["--variants", "original,int4", "--prompt-tokens", "8,24", "--answer-tokens", "6", "--repeats", "4"]


def _measure(run: Run, store: Store, machine: FakeMachine, reporter: Silent, resumed: bool = False) -> str:
    asked = prepare(WORKLOAD, FakeTokenizer())
    return execute(run, WORKLOAD, asked, [], machine.load, store, reporter, resumed).status  # type: ignore[arg-type]


def _samples(store: Store) -> dict[tuple[str, str, str, int], list[float]]:
    """Samples without the times of loading, because a resumed run loads again."""
    return {
        (row["variant"], row["metric"], params_text(row["params"]), row["repeat"]): row["values"]
        for row in store.samples().to_dict("records")
        if row["metric"] != "load_time"
    }


def _measured(machine: FakeMachine) -> int:
    """The number of requested answers, without those of warm-ups."""
    warm_up = {tuple(prompts[-1]) for prompts in prepare(WORKLOAD, FakeTokenizer()).values()}
    return sum(prompt not in warm_up for asked in machine.asked.values() for prompt in asked)


@pytest.mark.parametrize("step", [1, 5, 14, 22, 25, 27, 31, 36])
def test_measured_parts_are_kept_and_only_the_rest_is_measured(step: int, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(10))
    suites = ("latency", "memory", "load")
    whole, part = (Store(f"sqlite:///{tmp_path / name}") for name in ("whole.sqlite", "part.sqlite"))
    everything = FakeMachine(folder=str(tmp_path))
    _measure(Run("demo", ("original", "int4"), suites, {"device": "cpu"}, machine={}), whole, everything, Silent())
    run = Run("demo", ("original", "int4"), suites, {"device": "cpu"}, machine={})
    assert _measure(run, part, FakeMachine(folder=str(tmp_path)), Silent(step)) == "cancelled"
    before = _samples(part)
    rest, reporter = FakeMachine(folder=str(tmp_path)), Silent()
    assert _measure(run, part, rest, reporter, resumed=True) == "done"
    assert reporter.steps == reporter.planned
    assert _samples(part).keys() == _samples(whole).keys()
    pairs = {key: values for key, values in before.items() if key[1] == "decode_latency"}
    done = {key[3] for key in pairs if sum(other[3] == key[3] for other in pairs) == 4}  # both variants, both lengths
    assert all(_samples(part)[key] == values for key, values in pairs.items() if key[3] in done)
    assert _measured(rest) <= _measured(everything) - 4 * len(done)
    rows = [set(zip(s.measurements()["variant"], s.measurements()["metric"], strict=True)) for s in (whole, part)]
    assert rows[0] == rows[1]
    assert part.runs()["status"].tolist() == ["done"]


def test_a_variant_that_failed_is_tried_again(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'results.sqlite'}")
    run = Run("demo", ("original", "int4"), ("memory",), {"device": "cpu"}, machine={})
    _measure(run, store, FakeMachine(too_large={"int4"}), Silent(stop_at=3))
    assert _measure(run, store, FakeMachine(), Silent(), resumed=True) == "done"
    assert store.measurements(metric="failure").empty
    assert set(store.measurements(metric="peak_memory")["variant"]) == {"original", "int4"}


def _stop(machine: FakeMachine) -> str:
    """A run of the command line that stops when the second variant is loaded."""

    def interrupt(variant: str) -> None:
        if variant == "int4":
            raise KeyboardInterrupt

    machine.on_load = interrupt
    assert main(["run", *OPTIONS, "--suite", "memory,quality", "--questions", "1"]) == 130
    machine.on_load = lambda _: None
    return str(Store().runs()["id"].iloc[0])


def test_the_command(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    run = _stop(machine)
    machine.log.clear()
    assert main(["resume", run[:18]]) == 0
    assert [entry for entry in machine.log if entry[0] == "load"] == [
        ("load", "int4"),
        ("load", "original"),
        ("load", "int4"),
    ]  # the memory of one, the quality of both
    assert "skill_accuracy" in capsys.readouterr().out
    (row,) = Store().runs().to_dict("records")
    assert (row["id"], row["status"]) == (run, "done")
    assert len(Store().answers(run)) > 200
    assert main(["resume", run]) == 2
    assert "is done: there is nothing to resume" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["code_version", "versions", "machine"])
def test_other_circumstances_are_refused(
    what: str, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _stop(machine)
    others = {"code_version": "other", "versions": {"torch": "1"}, "machine": {"node": "elsewhere"}}
    monkeypatch.setattr(resume, what, lambda *_: others[what])
    assert main(["resume", run]) == 2
    assert "was measured on another" in capsys.readouterr().err


def test_a_run_that_does_not_say_how_it_was_measured_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was imported from a table."""
    run = Run("demo", ("original",), ("memory",), {}, machine={"cpu": "other"})
    store = Store()
    store.start_run(run)
    store.finish(run.id, "cancelled")
    assert main(["resume", run.id]) == 2
    assert "was measured on another machine" in capsys.readouterr().err
    with pytest.raises(UsageError, match=f"run {run.id} does not say its prompt_tokens: start a new one"):
        resume._order(store.runs().to_dict("records")[0])
