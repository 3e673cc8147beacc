"""Noise: the observation of the machine, the judgement, and the report."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_hosts import FakeMachine
from fake_runs import Notebook, run_suites
from measured import measure

from benchmarks.environment import run_facts
from benchmarks.measure import noise
from benchmarks.measure.measurement import Sample
from benchmarks.measure.noise import Watch, judge
from benchmarks.store.store import Store


def series(values: list[float], variant: str = "int4", metric: str = "decode_rate") -> list[Sample]:
    return [Sample(variant, metric, {"prompt_tokens": 8}, repeat, (value,)) for repeat, value in enumerate(values)]


STEADY = [100.0, 101.0, 99.0, 100.0, 101.0, 99.0, 100.0, 101.0]


def test_a_quiet_run_has_no_reasons() -> None:
    quiet = {"other_load": 0.02, "other_load_most": 0.3, "throttle_events": 0, "clock_limit": 1.0, "gpu_slowed": {}}
    assert judge(quiet, series(STEADY)) == {}
    assert judge({}, []) == {}


@pytest.mark.parametrize(
    ("reason", "conditions", "values"),
    [
        ("other_load", {"other_load": 0.4, "other_load_most": 0.9}, STEADY),
        ("memory_short", {"memory_free_least": 10_000_000}, STEADY),
        ("throttled", {"throttle_events": 3}, STEADY),
        ("clock_limited", {"clock_limit": 0.6}, STEADY),
        ("gpu_slowed", {"gpu_slowed": {"power_cap": 0.5, "hardware_thermal": 0.01}}, STEADY),
        ("drift", {}, [100.0, 100.0, 100.0, 100.0, 93.0, 93.0, 93.0, 93.0]),
        ("spread", {}, [60.0, 140.0, 60.0, 140.0, 100.0, 60.0, 140.0, 60.0, 140.0]),
    ],
)
def test_every_reason_has_numbers_and_a_sentence(
    reason: str, conditions: dict[str, object], values: list[float]
) -> None:
    found = judge(conditions, series(values))
    assert list(found) == [reason]
    assert all(isinstance(number, int | float) for number in found[reason].values())
    (sentence,) = noise.remarks(found)
    assert str(sentence).startswith("noisy: ")


def test_an_unfinished_warm_up_is_a_reason() -> None:
    assert judge({}, [], ["int4"]) == {"warm_up": {"variants": ["int4"]}}


def test_reasons_of_other_versions_are_passed_over() -> None:
    assert list(noise.remarks({"moon": {"phase": 1}, "drift": {"other": 2}, "spread": 3})) == []


def test_drift_is_of_all_variants_together() -> None:
    up, down = [1.0, 1.0, 1.2, 1.2], [1.2, 1.2, 1.0, 1.0]
    assert noise.drift(series(up)) == pytest.approx(0.2)
    assert noise.drift([*series(up), *series(down, "fast")]) == pytest.approx(0)
    assert noise.drift([*series([1, 2, 3]), *series([1, 9] * 9, metric="ttft")]) is None


def test_a_throttled_processor_is_seen(tmp_path: Path) -> None:
    assert noise.throttle_events(tmp_path) is None
    assert noise.clock_limit(tmp_path) is None
    for number in range(2):
        for kind in ("core", "package"):
            file = tmp_path / f"cpu{number}" / "thermal_throttle" / f"{kind}_throttle_count"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("2\n")
        policy = tmp_path / "cpufreq" / f"policy{number}"
        policy.mkdir(parents=True)
        (policy / "scaling_max_freq").write_text("2000000\n")
        (policy / "cpuinfo_max_freq").write_text("4000000\n")
    assert noise.throttle_events(tmp_path) == 8
    assert noise.clock_limit(tmp_path) == 0.5


@pytest.mark.parametrize(("said", "found"), [("0x0000000000000044", ["power_cap", "hardware_thermal"]), ("", None)])
def test_a_slowed_gpu_is_seen(said: str, found: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"clocks_throttle_reasons.active": said}
    monkeypatch.setattr(noise, "query_gpu", lambda name, device: old.get(name, "not supported"))
    assert noise.gpu_slowed("cuda:0") == found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Let a second of two processors pass, with given work of other programs and of this one."""
    at = [0.0, 0.0, 0.0]

    def passes(others: float, ours: float) -> None:
        at[:] = [at[0] + others + ours, at[1] + ours, at[2] + 2 * 1.0]

    monkeypatch.setattr(noise, "_processor_times", lambda: tuple(at))
    monkeypatch.setattr(noise.psutil, "cpu_count", lambda: 2)
    return passes


def test_the_load_of_others_leaves_out_our_own(clock: Callable[[float, float], None]) -> None:
    watch = Watch()
    assert "other_load" not in watch.conditions()
    # In the last one a system forgot the child processes.
    for others, ours in ((0.0, 2.0), (1.0, 1.0), (0.2, 0.0), (0.0, -5.0)):
        clock(others, ours)
        watch.look()
    found = watch.conditions()
    assert found["other_load"] == pytest.approx(1.2 / 6)
    assert found["other_load_most"] == 0.5


def test_our_own_work_is_no_noise() -> None:
    busy, ours, everything = noise._processor_times()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    later = noise._processor_times()
    assert later[1] - ours >= 0.15
    assert later[2] > everything
    assert later[0] >= busy


def test_a_run_keeps_what_was_seen_and_what_it_means() -> None:
    store = Notebook()
    run_suites(FakeMachine(noise=0.5), store=store)
    assert store.settings["conditions"]["memory_free_least"] > 0
    assert store.settings["noise"]["spread"]["largest"] > 0.1
    run_suites(FakeMachine(), suites=("memory",), store=store)
    assert "noise" not in store.settings


def test_a_noisy_run_is_told(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'results.sqlite'}")
    found = {"drift": {"by": -0.08, "limit": 0.05}}
    settings = {"precision": 0.02, "ended": {"latency": {"by": "budget", "repeats": 9, "width": 0.034}}, "noise": found}
    measure(store, settings=settings)
    said = "\n".join(map(str, run_facts.remarks(store.runs().iloc[0])))
    assert "differs by -8.0% from the first" in said
    assert "used up after 9: intervals are wider than the wanted ± 2.0%" in said
