"""Warm-up: it continues while answers become faster, but not for ever."""

import pytest
from fake_hosts import FakeMachine
from fake_runs import run_suites

from benchmarks.measure import warmup
from benchmarks.measure.warmup import steady, warm_up


@pytest.mark.parametrize(
    ("times", "enough"),
    [
        ([5.0], False),
        ([5.0, 1.0], False),
        ([5.0, 1.0, 1.0], False),
        ([5.0, 1.0, 1.0, 1.0], True),
        ([1.0, 1.01, 0.99], True),
        ([5.0, 4.0, 3.0, 2.0, 1.0], False),
        ([5.0, 1.0, 1.0, 9.0], True),  # a stall is not faster
        ([9.0, 1.0, 1.0, 0.9], False),
    ],
)
def test_answers_are_steady_when_they_get_no_faster(times: list[float], enough: bool) -> None:
    assert steady(times) is enough


def test_a_warm_up_ends_where_times_stop_falling() -> None:
    times = iter([5.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    found = warm_up(lambda: next(times))
    assert (found.answers, found.stable, found.quickest) == (6, True, 1.0)


def test_a_warm_up_that_never_becomes_steady_ends_all_the_same() -> None:
    times = iter(0.5**number for number in range(99))
    found = warm_up(lambda: next(times))
    assert (found.answers, found.stable) == (warmup.MOST, False)


def test_slow_answers_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "LONG", -1.0)
    assert (warm_up(lambda: 30.0).answers, warm_up(lambda: 30.0).stable) == (1, True)


def test_a_run_says_how_long_its_warm_up_took() -> None:
    result = run_suites(FakeMachine(noise=0))
    found = result.run.settings["warm_up"]["latency"]
    assert list(found) == ["original", "int4"]
    assert found["int4"]["answers"] == 6  # three of each of two lengths
    assert found["int4"]["stable"]
    assert found["int4"]["seconds"] >= 0
