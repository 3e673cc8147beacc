"""Runs on fake hosts: their order, arrangement, failures and stored results."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_hosts import FakeMachine, FakeTokenizer
from fake_runs import WORKLOAD, Notebook, Silent, rows, run_suites

from benchmarks.environment import run_facts
from benchmarks.execution.runner import prepare
from benchmarks.run.record import Record
from benchmarks.store.run import Run
from benchmarks.suites import quality
from fastglm.errors import FastGLMError

TURN = 1 + len(WORKLOAD.prompt_tokens)  # one answer that does not count, and one for each length


def test_variants_take_turns_and_only_one_is_awake() -> None:
    machine = FakeMachine()
    result = run_suites(machine)
    asked = [variant for what, variant in machine.log if what == "ask"]
    turns = asked[-2 * TURN * WORKLOAD.repeats :]  # after a warm-up of each length and variant
    assert turns[::TURN] == ["original", "int4", "int4", "original"] * (WORKLOAD.repeats // 2)
    assert turns == [variant for variant in turns[::TURN] for _ in range(TURN)]
    assert [variant for what, variant in machine.log if what == "load"] == ["original", "int4"]
    awake: set[str] = set()
    for what, variant in machine.log:
        if what in ("load", "resume"):
            awake.add(variant)
        elif what in ("pause", "close"):
            awake.discard(variant)
        assert len(awake) <= 1
    assert result.run.settings["arrangement"] == {"latency": "interleaved"}
    assert result.run.settings["weights"].keys() == {"original", "int4"}
    assert machine.loaded == set()


def test_variants_are_asked_the_same_and_every_repeat_something_else() -> None:
    machine = FakeMachine()
    run_suites(machine)
    turns = machine.asked["original"][-TURN * WORKLOAD.repeats :]
    assert turns == machine.asked["int4"][-TURN * WORKLOAD.repeats :]
    measured = [prompt for number, prompt in enumerate(turns) if number % TURN]
    assert len(set(measured)) == len(measured)
    warm_up = machine.asked["original"][: -TURN * WORKLOAD.repeats] + turns[::TURN]
    assert len(set(warm_up)) == 2
    assert not set(measured) & set(warm_up)  # the warm-up has another prompt


@pytest.mark.parametrize("room", [1, 2])
def test_with_little_memory_blocks_alternate_with_reload_and_warm_up(room: int) -> None:
    variants = ("original", "int8", "int4")[: room + 1]
    machine = FakeMachine(room=room)
    result = run_suites(machine, variants)
    assert result.status == "done"
    assert result.run.settings["arrangement"] == {"latency": "blocks"}
    first_blocked = len(machine.log) - machine.log[::-1].index(("no room", variants[-1]))
    rest = machine.log[first_blocked:]
    loads = [variant for what, variant in rest if what == "load"]
    there_and_back = [*variants, *variants[-2::-1]]  # the last one stays for its second block
    assert loads == [variants[-1], *there_and_back][-len(loads) :]
    assert len(loads) >= len(there_and_back)
    assert not [what for what, _ in rest if what in ("pause", "resume")]
    for variant in variants:  # a warm-up of each length after each load
        lengths, loaded = len(WORKLOAD.prompt_tokens), machine.log.count(("load", variant))
        warm_up = [prompts[-1] for prompts in prepare(WORKLOAD, FakeTokenizer()).values()]
        asked = [list(prompt) in warm_up for prompt in machine.asked[variant]]
        assert asked.count(False) == lengths * WORKLOAD.repeats
        assert asked.count(True) >= 3 * lengths * loaded
    for variant in variants:
        for length in WORKLOAD.prompt_tokens:
            assert rows(result, variant, "ttft", prompt_tokens=length)[0].n == WORKLOAD.repeats
        warm = rows(result, variant, "load_time", disk_cache="warm")
        assert warm[0].n >= 1


def test_rows_say_what_was_measured() -> None:
    reporter = Silent()
    result = run_suites(FakeMachine(), suites=("latency", "memory"), reporter=reporter)
    assert reporter.steps == reporter.planned > 0
    (ttft,) = rows(result, "int4", "ttft", prompt_tokens=24)
    assert (ttft.value, ttft.unit, ttft.n, ttft.device) == (0.024, "s", 4, "cpu")
    assert ttft.params == {"prompt_tokens": 24, "answer_tokens": 6}
    (prefill,) = rows(result, "int4", "prefill_rate", prompt_tokens=24)
    assert prefill.value == pytest.approx(1000)
    (decode,) = rows(result, "original", "decode_rate", prompt_tokens=8)
    assert 80 < decode.value < 101
    assert decode.low is not None
    assert decode.high is not None
    assert decode.low <= decode.value <= decode.high
    quantiles = {
        row.params["quantile"]: row.value for row in rows(result, "original", "decode_latency", prompt_tokens=8)
    }
    assert list(quantiles) == [0.5, 0.95, 0.99]
    assert quantiles[0.5] <= quantiles[0.95] <= quantiles[0.99]
    assert rows(result, "int4", "load_time", disk_cache="as found")[0].value == 0.5
    assert rows(result, "int4", "weights_memory")[0].value == 4000
    assert rows(result, "int4", "cache_memory", prompt_tokens=8)[0].value == 100
    assert rows(result, "int4", "peak_memory", during="load")[0].value == 10000
    assert rows(result, "int4", "peak_memory", during="answer", prompt_tokens=8)[0].unit == "bytes"


def test_ratios_compare_with_original_wherever_it_stands() -> None:
    result = run_suites(FakeMachine(), ("int4", "original"))
    (ratio,) = rows(result, "int4", "decode_rate_ratio", prompt_tokens=8)
    assert ratio.params["baseline"] == "original"
    assert ratio.unit == "×"
    assert 4 < ratio.value < 6  # fake int4 takes 2 ms a token, fake original 10 ms
    assert rows(result, "int4", "ttft_ratio", prompt_tokens=8)[0].value == 1
    assert not rows(result, "original", "decode_rate_ratio")


def test_memory_is_measured_with_one_host_alone() -> None:
    machine = FakeMachine()
    run_suites(machine, ("original", "fast", "int4"), ("memory",))
    alone: set[str] = set()
    for what, variant in machine.log:
        alone = {"load": alone | {variant}, "close": alone - {variant}}.get(what, alone)
        assert len(alone) <= 1
    answers = [pair for pair in pairwise(machine.log) if pair[1][0] == "ask"]
    assert {before[0] for before, _ in answers} == {"reset peak"}


def test_every_variant_is_asked_the_same_questions_and_every_answer_is_kept() -> None:
    machine, notebook = FakeMachine(), Notebook()
    result = run_suites(machine, suites=("quality",), store=notebook)
    assert [(answer.variant, answer.number) for answer in notebook.answers] == [
        ("original", 0),
        ("original", 1),
        ("int4", 0),
        ("int4", 1),
    ]
    assert notebook.answers == result.answers
    first, own = result.answers[:2]
    assert (first.question, first.expected, first.answer) == ("Of France?", "Paris", "you said: Of France?")
    # No rule can tell whether answers to a user's own questions are right.
    assert (first.right, own.right) == (False, None)
    assert own.history == [("Hi", "Hello")]
    mean, p99, largest = rows(result, "int4", "kl_divergence")
    assert (mean.value, mean.params) == (0.25, {"arithmetic": "exact"})
    assert (p99.value, p99.params["quantile"]) == (pytest.approx(0.4), 0.99)
    assert (largest.value, largest.params["quantile"], largest.low) == (0.4, 1.0, None)
    how = {"arithmetic": "exact", "precision": "float32 on cpu"}
    assert notebook.settings["scored"] == {"original": how, "int4": how}
    assert machine.log.count(("load", "original")) == 1


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work of other processes is done in this one, and answers are short."""
    monkeypatch.setattr(quality, "elsewhere", lambda work, progress, *arguments: work(progress, *arguments))
    monkeypatch.setattr(quality, "LONGEST_ANSWER", 4)


@pytest.mark.usefixtures("here")
def test_the_original_without_room_is_computed_layer_by_layer() -> None:
    assert run_suites(FakeMachine(too_large={"original"}), ("original",), ("quality",)).status == "done"
    machine, reporter, notebook = FakeMachine(too_large={"original"}), Silent(), Notebook()
    result = run_suites(machine, suites=("quality",), reporter=reporter, store=notebook)
    assert result.status == "done"
    assert not rows(result, "original", "failure")
    assert [answer.variant for answer in result.answers] == ["original"] * 2 + ["int4"] * 2
    assert result.answers[0].answer is None  # 4 tokens are not an answer
    assert result.answers[0].nats > 0
    kl = rows(result, "original", "kl_divergence")
    assert [(row.value, row.device) for row in kl] == [(0, "cpu")] * 3
    assert notebook.settings["streamed"] == {"original": "float32 on cpu"}
    assert any("no room for original" in warning for warning in reporter.warnings)
    assert reporter.steps == reporter.planned
    told = [*run_facts.remarks({"status": "done", "suites": [], "machine": {}, "settings": notebook.settings})]
    assert any("no room for original" in remark for remark in map(str, told))


@pytest.mark.usefixtures("here")
def test_no_other_variant_is_computed_layer_by_layer() -> None:
    result = run_suites(FakeMachine(too_large={"int4"}), suites=("quality",))
    (failure,) = rows(result, "int4", "failure")
    assert failure.params["kind"] == "MemoryShortError"


@pytest.mark.usefixtures("here")
def test_an_original_that_cannot_be_streamed_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise FastGLMError("the disk is gone")

    monkeypatch.setattr(quality, "elsewhere", broken)
    result = run_suites(FakeMachine(too_large={"original"}), suites=("quality",))
    (failure,) = rows(result, "original", "failure")
    assert failure.params["error"] == "the disk is gone"
    assert {answer.variant for answer in result.answers} == {"int4"}


def test_a_variant_that_cannot_be_judged_is_a_result_and_the_others_go_on() -> None:
    machine = FakeMachine(crash={"original": 1})
    result = run_suites(machine, suites=("quality",))
    assert {answer.variant for answer in result.answers} == {"int4"}
    (failure,) = rows(result, "original", "failure")
    assert failure.params["suite"] == "quality"


@pytest.mark.parametrize("answer", [1, 2, 5])
def test_a_crash_is_a_result_and_the_others_go_on(answer: int) -> None:
    machine, reporter = FakeMachine(crash={"fast": answer}), Silent()
    result = run_suites(machine, ("original", "fast", "int4"), ("latency", "memory"), reporter)
    assert result.status == "done"
    failures = [row for row in result.measurements if row.metric == "failure"]
    assert [row.variant for row in failures] == ["fast"]
    assert failures[0].params["suite"] == "latency"
    assert "signal 11" in str(failures[0].params["error"])
    assert len(reporter.warnings) == 1
    assert rows(result, "int4", "decode_rate", prompt_tokens=24)[0].n == WORKLOAD.repeats
    assert rows(result, "fast", "peak_memory", during="load")  # tried again in the next suite
    assert machine.loaded == set()


def test_a_variant_that_never_fits_is_recorded() -> None:
    result = run_suites(FakeMachine(too_large={"original"}), ("original", "int4"))
    assert result.status == "done"
    assert [row.params["kind"] for row in result.measurements if row.metric == "failure"] == ["MemoryShortError"]
    assert rows(result, "int4", "decode_rate", prompt_tokens=8)[0].n == WORKLOAD.repeats


def test_a_run_in_which_nothing_could_be_measured_has_failed() -> None:
    store = Notebook()
    assert run_suites(FakeMachine(too_large={"original", "int4"}), store=store).status == "failed"
    assert store.status == "failed"
    assert {(row.variant, row.metric) for row in store.rows} == {("original", "failure"), ("int4", "failure")}


@pytest.mark.parametrize("step", [1, 4, 9, 20])
def test_a_cancelled_run_keeps_what_it_measured(step: int) -> None:
    machine, store = FakeMachine(), Notebook()
    result = run_suites(machine, reporter=Silent(stop_at=step), store=store)
    assert result.status == store.status == "cancelled"
    assert machine.loaded == set()
    assert store.samples
    assert len(store.samples) == len(result.samples)
    assert {row.metric for row in result.measurements} <= {row.metric for row in store.rows}


def test_a_store_that_is_locked_for_a_while_loses_nothing() -> None:
    store = Notebook()
    record = Record(Run("demo", ("original",), ("latency",), machine={}, code_version="test"), store)
    store.broken = True
    record.add("original", "ttft", {"prompt_tokens": 8}, 0, 0.1)
    record.save(everything=True)
    assert record.trouble
    store.broken = False
    record.add("original", "ttft", {"prompt_tokens": 8}, 1, 0.3)
    record.save(everything=True)
    assert record.trouble is None
    assert [sample.values for sample in store.samples] == [(0.1,), (0.3,)]
    assert [(row.value, row.n) for row in store.rows] == [(0.2, 2)]


def test_a_store_locked_to_the_end_is_told_and_the_result_is_there() -> None:
    store = Notebook()
    store.broken = True
    result = run_suites(FakeMachine(), store=store)
    assert result.status == "done"
    assert result.trouble
    assert result.measurements


def test_rows_are_written_while_the_run_goes_on() -> None:
    store = Notebook()
    written = []

    class Watch(Silent):
        def step(self) -> None:
            super().step()
            written.append(len(store.samples))

    run_suites(FakeMachine(), reporter=Watch(), store=store)
    assert written[-1] > 0
    assert len(set(written)) > WORKLOAD.repeats // 2


def test_loading_is_measured_cold_and_warm(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(3000))
    machine = FakeMachine(folder=str(tmp_path))
    result = run_suites(machine, suites=("load",))
    assert rows(result, "int4", "disk_size")[0].value == 3000
    for cache in ("cold", "warm"):
        assert rows(result, "original", "load_time", disk_cache=cache)[0].n == WORKLOAD.repeats
    assert rows(result, "original", "load_time", disk_cache="as found")[0].n == 1
    assert [what for what, variant in machine.log if variant == "int4"] == ["load", "close"] * (1 + 2 * 4)


def test_random_weights_have_no_files_and_no_cold_disk() -> None:
    machine = FakeMachine()
    result = run_suites(machine, suites=("load",))
    assert not rows(result, "int4", "disk_size")
    assert not rows(result, "int4", "load_time", disk_cache="cold")
    assert rows(result, "int4", "load_time", disk_cache="warm")[0].n == WORKLOAD.repeats


def test_a_variant_that_can_be_loaded_only_once(tmp_path: Path) -> None:
    machine = FakeMachine(folder=str(tmp_path))
    machine.on_load = lambda variant: machine.too_large.add("int4") if variant == "int4" else None
    result = run_suites(machine, suites=("load",))
    assert len(rows(result, "int4", "failure")) == 1
    assert rows(result, "original", "load_time", disk_cache="warm")[0].n == WORKLOAD.repeats


def test_the_accepted_share_of_drafts_is_reported() -> None:
    result = run_suites(FakeMachine(), ("original", "speculative"))
    (row,) = rows(result, "speculative", "acceptance", prompt_tokens=8)
    assert (row.value, row.unit) == (0.75, "fraction")
    assert not rows(result, "original", "acceptance")
