"""The load as a user gives it: levels, mix of prompts, limits, arrivals; and the window that is measured."""

from collections import Counter
from itertools import accumulate, islice

import pytest

from benchmarks.serving.limits import Limits
from benchmarks.serving.load import Level, Load
from benchmarks.serving.mix import Measure, Mix, text
from benchmarks.serving.window import Window
from fastglm.errors import UsageError


def test_a_load_is_read_and_written_again() -> None:
    load = Load.read("4,1", "2,0.5", "128:3,512:1", "tpot=100ms,ttft=1.5s")
    assert [str(level) for level in load.levels] == ["clients 1", "clients 4", "0.5 requests/s", "2 requests/s"]
    assert [str(level.params) for level in load.levels[1:3]] == ["{'clients': 4}", "{'rate': 0.5}"]
    settings = load.as_dict()
    assert settings == {"clients": [4, 1], "rates": [2, 0.5], "prompts": "128:3,512:1", "slo": "ttft=1.5s,tpot=100ms"}
    assert Load.read("4,1", "2,0.5", str(settings["prompts"]), str(settings["slo"])) == load
    assert Load.read("", "1", "32", "ttft=1s").clients == ()


@pytest.mark.parametrize("clients", ["0", "1,1", "one", "1.5", "1,", "2000"])
def test_impossible_clients_are_refused(clients: str) -> None:
    with pytest.raises(UsageError, match="--clients"):
        Load.read(clients, "", "32", "ttft=1s")


@pytest.mark.parametrize("rates", ["0", "-1", "nan", "inf", "2,2.0", "fast"])
def test_impossible_rates_are_refused(rates: str) -> None:
    with pytest.raises(UsageError, match="--rates"):
        Load.read("1", rates, "32", "ttft=1s")


@pytest.mark.parametrize("prompts", ["", "0", "32,32", "32:0", "32:1:2", "long", "32:101"])
def test_impossible_mixes_are_refused(prompts: str) -> None:
    with pytest.raises(UsageError, match="--prompts"):
        Load.read("1", "", prompts, "ttft=1s")


@pytest.mark.parametrize("slo", ["", "ttft", "ttft=1", "ttft=0s", "ttft=1s,ttft=2s", "e2e=1s", "ttft=1e3s"])
def test_impossible_limits_are_refused(slo: str) -> None:
    with pytest.raises(UsageError, match="--slo"):
        Load.read("1", "", "32", slo)


def test_a_limit_that_is_left_out_does_not_hold() -> None:
    assert Limits.read("ttft=250ms") == Limits(0.25, float("inf"))
    assert str(Limits.read("ttft=250ms")) == "ttft=250ms"


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(UsageError, match="--clients or --rates"):
        Load.read("", "", "32", "ttft=1s")


def test_every_round_of_prompts_has_the_whole_mix() -> None:
    lengths = list(islice(Mix.read("32:3,512:1").drawn("seed"), 40))
    assert all(Counter(lengths[at : at + 4]) == {32: 3, 512: 1} for at in range(0, 40, 4))
    assert len({tuple(lengths[at : at + 4]) for at in range(0, 40, 4)}) > 1
    assert lengths == list(islice(Mix.read("32:3,512:1").drawn("seed"), 40))


def test_arrivals_are_a_seeded_poisson_process() -> None:
    """The mean of 4,000 gaps is within 4 standard errors, and so is the share of gaps longer than the mean, 1/e."""
    level = Level("rate", 2.0)
    waits = list(islice(level.arrivals("one"), 4000))
    assert waits == list(islice(level.arrivals("one"), 4000)) != list(islice(level.arrivals("other"), 4000))
    assert sum(waits) / 4000 == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    assert sum(wait > 0.5 for wait in waits) / 4000 == pytest.approx(0.368, abs=4 * 0.0076)
    per_second = Counter(int(at) for at in accumulate(waits))
    counts = [per_second[second] for second in range(int(sum(waits)))]
    mean = sum(counts) / len(counts)
    assert sum((each - mean) ** 2 for each in counts) / len(counts) == pytest.approx(mean, rel=0.15)


def test_a_prompt_has_the_characters_that_the_server_counts_as_its_tokens() -> None:
    measure = Measure.between((40, 30), (400, 210))
    assert (measure.frame, measure.each) == (10, 0.5)
    assert measure.characters(128) == 236
    assert measure.characters(5) == 1
    made = text("abc", 20, "mark ", "seed")
    assert len(made) == 20
    assert made.startswith("mark ")
    assert made == text("abc", 20, "mark ", "seed")
    assert text("abc", 2, "mark ", "seed") == "mark "


def test_a_window_of_clients_begins_with_all_of_them_and_ends_in_whole_rounds() -> None:
    window = Window.of(Level("clients", 2), seconds=5)
    number = 0

    def answer(client: int, at: float) -> None:
        nonlocal number
        window.asked(number, at - 1)
        window.ended(number, at, client)
        number += 1

    answer(0, 1)
    answer(0, 2)
    assert window.start is None
    answer(1, 3)
    assert window.start == 3
    for at in (4, 5, 6):
        answer(0, at)
    answer(1, 7)  # four answers, but in 4 seconds
    answer(0, 8)  # long enough, but an odd number
    assert window.end is None
    window.asked(98, 8.5)
    answer(1, 9)
    assert (window.end, window.over) == (9, False)
    window.asked(99, 9.5)
    window.ended(98, 12, 0)
    assert (window.end, window.over) == (9, True)  # 99 belongs to the tail


def test_a_window_of_arrivals_has_enough_of_them() -> None:
    window = Window.of(Level("rate", 0.5), seconds=5)
    for number in range(11):
        window.asked(number, number)
    for number in range(11):
        assert window.end is None
        window.ended(number, number + 1)
    assert (window.start, window.end, window.over) == (1, 11, True)
