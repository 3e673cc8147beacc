"""Estimates of the time until answers end, by a clock of the test's own."""

import pytest

from fastglm.serve.ends import Ends


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_place_is_free_after_the_time_between_two_ends(clock: Clock) -> None:
    ends = Ends(clock)
    assert ends.count(8) == 8
    for _ in range(6):
        clock.now += 3
        assert ends.count(-1) + 1 == ends.count(1)
    assert (ends.until(1), ends.until(2), ends.until(5)) == (3, 6, 15)


def test_times_without_answers_do_not_count(clock: Clock) -> None:
    ends = Ends(clock)
    for _ in range(3):
        clock.now += 10_000
        ends.count(2)
        clock.now += 4
        ends.count(-2)
    assert ends.until(3) == 6
    ends.count(1)
    clock.now += 8
    assert ends.until(3) == 10  # 20 s, in which 6 answers have ended


def test_only_the_latest_ends_count(clock: Clock) -> None:
    ends = Ends(clock)
    ends.count(40)
    clock.now += 1000
    ends.count(-1)
    for _ in range(32):
        clock.now += 0.5
        ends.count(-1)
    assert ends.until(7) == 4


def test_the_shortest_wait_is_a_second_and_that_of_unknown_ends_the_time_so_far(clock: Clock) -> None:
    ends = Ends(clock)
    assert ends.until(1) == 1
    ends.count(2)
    clock.now += 7
    assert ends.until(1) == 7
    ends.count(-2)
    ends.count(40)
    for _ in range(32):
        clock.now += 0.001
        ends.count(-1)
    assert ends.until(1) == 1
