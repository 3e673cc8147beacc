"""Figures of a load, from requests with times written by hand."""

import pytest

from benchmarks.serving.asked import Asked
from benchmarks.serving.figures import figures, lateness, most_clients, share_kept
from benchmarks.serving.limits import Limits

LIMITS = Limits(1.0, 0.5)


def _asked(due: float, *pieces: float, tokens: int | None = None, error: str | None = None) -> Asked:
    ended = pieces[-1] if pieces else due + 1
    return Asked(due, pieces, ended, len(pieces) if tokens is None else tokens, error=error)


def test_times_are_of_the_requests_that_begin_in_the_window() -> None:
    asked = [_asked(9, 11, 12), _asked(10, 10.5, 11.5, 12.5), _asked(19, 21, 22), _asked(20.5, 20.6, 20.7)]
    found = figures(asked, 10, 20, LIMITS)
    assert found["ttft"] == [0.5, 2]
    assert found["time_per_token"] == [1, 1]
    assert found["answer_time"] == [2.5, 3]
    assert found["error_share"] == [0]


def test_rates_are_of_what_arrives_in_the_window() -> None:
    """Two tokens of the warm-up's answer arrive in it, and one of an answer that ends in the tail."""
    asked = [
        _asked(7, 8, 9),
        _asked(8, 9, 10, 11, 12),
        _asked(13, 13.4, 13.8),
        _asked(19, 19.6, 20.6),
        _asked(21, 22, 23),
    ]
    found = figures(asked, 10, 20, LIMITS)
    assert found["throughput"] == [(2 + 2 + 1) / 10]
    assert found["request_rate"] == [2 / 10]
    assert found["goodput"] == [1 / 10]  # the first one is within neither limit


def test_tokens_are_spread_over_chunks() -> None:
    (asked,) = asked_of = [_asked(10, 11, 12, 21, tokens=6)]
    assert asked.time_per_token == 10 / 5
    assert figures(asked_of, 10, 20, LIMITS)["throughput"] == [4 / 10]


def test_failed_requests_are_errors_and_nothing_else() -> None:
    asked = [_asked(10, 10.1, 10.2), _asked(11, 11.1, 11.2, error="broke off"), _asked(12, error="HTTP 500")]
    found = figures([*asked, _asked(9, error="HTTP 500")], 10, 20, LIMITS)
    assert found["error_share"] == [2 / 3]
    assert found["throughput"] == [2 / 10]
    assert found["goodput"] == found["request_rate"] == [1 / 10]
    assert len(found["ttft"]) == len(found["answer_time"]) == 1


def test_a_late_client_hides_no_wait() -> None:
    """An open loop wanted to send at 10, whenever it did."""
    assert figures([_asked(10, 13, 14)], 10, 20, LIMITS)["ttft"] == [3]


def test_one_token_has_a_first_time_only() -> None:
    found = figures([_asked(10, 10.5), _asked(11, 11.5, tokens=3)], 10, 20, LIMITS)
    assert (found["ttft"], found["time_per_token"]) == ([0.5, 0.5], [])
    assert found["goodput"] == [2 / 10]


def _level(ttft: float, tpot: float = 0.1, errors: float = 0.0) -> list[dict[str, list[float]]]:
    """Two repeats of 20 requests; one request of the first was very slow."""
    first = {"ttft": [9.0, *[ttft] * 19], "time_per_token": [tpot] * 20, "error_share": [errors]}
    return [first, {**first, "ttft": [ttft] * 20}]


@pytest.mark.parametrize(
    ("levels", "most"),
    [
        ({1: _level(0.5), 4: _level(0.9), 8: _level(1.1)}, 4),
        ({1: _level(0.5), 4: _level(0.9), 8: _level(0.9, tpot=0.6)}, 4),
        ({1: _level(0.5), 4: _level(0.9, errors=0.06)}, 1),
        ({1: _level(1.5), 2: _level(0.5)}, 0),  # the smaller number is the warning
        ({2: _level(0.5), 1: _level(0.5)}, 2),
        ({1: [{"ttft": [], "time_per_token": [], "error_share": [1.0]}]}, 0),
    ],
)
def test_the_most_clients_within_the_limits(levels: dict[int, list[dict[str, list[float]]]], most: int) -> None:
    assert most_clients(levels, LIMITS) == most


def test_a_late_event_loop_is_seen() -> None:
    assert lateness([0.001] * 99 + [0.02], [1.0, 1.0]) is None
    assert lateness([0.1] * 100, [1.0, 2.0, 1.0]) == pytest.approx(0.1)
    assert lateness([], [1.0]) is lateness([1.0], []) is None


def test_the_share_within_limits_is_of_both_times_of_an_answer() -> None:
    repeat = {"ttft": [0.5, 0.5, 2.0, 2.0], "time_per_token": [0.1, 0.9, 0.1, 0.9]}
    assert share_kept(repeat, LIMITS) == 0.25
    assert share_kept(repeat, Limits(1.0, float("inf"))) == 0.5
    assert share_kept({**repeat, "time_per_token": [0.1]}, LIMITS) is None  # nobody knows of which answer
    assert share_kept({"ttft": []}, LIMITS) is None
