"""Admission of visitors, and the delays that slow down guessing a password."""

import pytest

from dashboard.door import LONGEST, Door, is_local

WORD = "a long sentence 句子"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Door:
    return Door(clock)


def test_a_tab_that_knows_the_password_is_inside_and_no_other(door: Door) -> None:
    assert not door.inside("mine", WORD)
    assert door.enter("mine", WORD, WORD, "10.0.0.1") is None
    assert door.inside("mine", WORD)
    assert not door.inside("another", WORD)
    assert not door.inside("mine", "a new password")


def test_each_failure_makes_the_next_try_wait_longer(door: Door, clock: Clock) -> None:
    waits = []
    for _ in range(12):
        wait = door.enter("tab", "wrong", WORD, "10.0.0.1")
        assert wait is not None
        waits.append(wait)
        assert door.enter("tab", WORD, WORD, "10.0.0.1") is not None, "even the right one is not looked at before"
        clock.now += wait
    assert waits == sorted(waits)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST
    assert door.enter("tab", WORD, WORD, "10.0.0.1") is None
    assert door.enter("tab", "wrong", WORD, "10.0.0.1") == 1, "it begins anew"


def test_failures_of_one_address_delay_no_other(door: Door) -> None:
    door.enter("tab", "wrong", WORD, "10.0.0.1")
    assert door.enter("other", WORD, WORD, "10.0.0.2") is None


def test_the_password_is_asked_for_again_after_half_a_day(door: Door, clock: Clock) -> None:
    door.enter("mine", WORD, WORD, "")
    clock.now += 13 * 3600
    assert not door.inside("mine", WORD)


@pytest.mark.parametrize(
    ("address", "headers", "local"),
    [
        ("127.0.0.1", {}, True),
        ("localhost", {"Host": "localhost:8501"}, True),
        ("::1", {"Host": "[::1]:8501", "Origin": "http://[::1]:8501"}, True),
        ("127.0.0.2", {"Host": "127.0.0.2"}, True),
        (None, {}, False),
        ("", {}, False),
        ("0.0.0.0", {"Host": "127.0.0.1:8501"}, False),
        ("::", {}, False),
        ("192.168.0.7", {}, False),
        ("localhost.evil.example", {}, False),
        ("127.0.0.1", {"Host": "app.example"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1:8501", "Origin": "https://app.example"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1:8501", "X-Forwarded-For": "10.0.0.1"}, False),
        ("127.0.0.1", {"Host": ""}, False),
    ],
)
def test_only_requests_of_this_machine_are_local(address: str | None, headers: dict[str, str], local: bool) -> None:
    assert is_local(address, headers) is local
