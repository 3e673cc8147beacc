"""The people that a server has time for, against numbers worked out by hand or drawn at random."""

import numpy as np
import pytest

from benchmarks.serving.figures import Figures
from benchmarks.serving.limits import Limits
from benchmarks.serving.people import Pace, People, people

LIMITS = Limits(1.0, 0.1)
SLOW = Pace(5, 60, 64)


def _level(answer: float, tpot: float = 0.05) -> list[Figures]:
    return [{"ttft": [0.5] * 20, "time_per_token": [tpot] * 20, "answer_time": [answer] * 20, "error_share": [0.0]}]


def test_a_person_asks_no_earlier_than_the_answer_is_read() -> None:
    assert SLOW.cycle == 60
    assert Pace(2, 10, 64).cycle == 32


def test_one_at_a_time_is_worked_out_by_hand() -> None:
    """Two or more of P people who each wait for 6 of 60 s do so at 1 - 0.9^P - P 0.1 0.9^(P-1) of all moments: that is
    2.8 % for P = 3, and 5.2 % for P = 4.
    """
    assert people({1: _level(6)}, {}, SLOW, LIMITS) == People(3, clients=1, is_largest=True)


def test_no_more_wait_than_were_measured_at_95_of_100_moments() -> None:
    found = people({1: _level(3), 8: _level(9), 16: _level(9, tpot=0.3)}, {}, SLOW, LIMITS)
    assert (found.clients, found.is_largest) == (8, False)
    draw = np.random.default_rng(0)
    waiting = [np.mean(draw.binomial(count, 9 / 60, 200_000) <= 8) for count in (found.count, found.count + 1)]
    assert waiting[0] >= 0.95 > waiting[1]


def test_people_who_wait_all_the_time_are_clients() -> None:
    assert people({4: _level(90)}, {}, SLOW, LIMITS).count == 4


def test_arrivals_at_random_stand_for_people_directly() -> None:
    rates = {0.5: _level(6), 2.0: _level(6), 4.0: _level(6, tpot=0.3), 8.0: _level(6)}
    assert people({}, rates, SLOW, LIMITS) == People(120, rate=2.0)  # a slower level ends the count
    assert people({1: _level(6)}, rates, SLOW, LIMITS).count == 120


def test_nobody_waits_while_reading() -> None:
    assert people({1: _level(6)}, {}, Pace(10, 60, 64), LIMITS).count == 3
    assert people({1: _level(6)}, {}, Pace(25, 60, 64), LIMITS) == People(0)  # wants 40 ms, and a token takes 50


@pytest.mark.parametrize("levels", [{}, {1: [{"ttft": [], "error_share": [1.0]}]}])
def test_without_a_measured_level_there_is_nobody(levels: dict[int, list[Figures]]) -> None:
    assert people(levels, {}, SLOW, LIMITS) == People(0)
