"""The rule of the slots: a request that runs beside others gives the text that it gives alone."""

import random
from dataclasses import dataclass, field, replace

import pytest
import torch
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, FastEngine, Sampling
from fastglm.engine.runner import runner_of
from fastglm.engine.scheduler import Scheduler
from fastglm.errors import MemoryShortError
from fastglm.kernels.exact import exact_arithmetic

MODEL = str(folder("chatglm"))
GMASK, SOP = 86, 89  # of the small model
REQUESTS = 16
DRAWN = Sampling(temperature=1.5, top_p=0.9)


@dataclass
class Case:
    """A request: its prompt, length and sampling, and the round that it enters and, if it is cancelled, leaves in."""

    prompt: list[int]
    tokens: int
    sampling: Sampling
    enters: int
    leaves: int | None
    found: list[int] = field(default_factory=list)


def schedule(seed, sampled, penalties):
    draw = random.Random(seed)
    cases = []
    for number in range(REQUESTS):
        prompt = [*(draw.randrange(5, 80) for _ in range(draw.choice([1, 3, 9, 30, 61, 62, 100]))), GMASK, SOP]
        penalty, top_k = draw.choice(penalties), draw.choice([0, 5, 50])
        own = replace(DRAWN, seed=number, repetition_penalty=penalty, top_k=top_k)
        sampling = own if sampled and draw.random() < 0.7 else replace(GREEDY, repetition_penalty=penalty)
        enters = draw.randrange(30)
        leaves = enters + draw.randrange(1, 20) if draw.random() < 0.2 else None
        cases.append(Case(prompt, draw.randrange(1, 40), sampling, enters, leaves))
    return cases


def run(model, cases):
    """Run a schedule; most of the requests that ran at once."""
    scheduler, most = Scheduler(model), 0
    for turn in range(200):
        for id, case in enumerate(cases):
            if case.enters == turn:
                scheduler.add(id, case.prompt, case.tokens, case.sampling, lambda _: False)
            if case.leaves == turn:
                scheduler.cancel(id)
        for news in scheduler.step():
            cases[news.id].found.append(news.found())
        most = max(most, len(scheduler._rows))
        if turn > 30 and not scheduler.busy:
            break
    assert runner_of(model).memory == 0
    return most


def within_rounding(model, case, place):
    """Tell whether the two best next tokens, alone after some tokens, are as near as rounding moves two logits."""
    ids = torch.tensor([[*case.prompt, *case.found[:place]]])
    with torch.inference_mode():
        rounded = model(ids, use_cache=False).logits[0, -1].float()
        with exact_arithmetic(model):
            exact = model(ids, use_cache=False).logits[0, -1].float()
    best = exact.topk(2).values
    return float(best[0] - best[1]) <= 2 * float((rounded - exact).abs().max())


def exchanged(model, case, place):
    """Tell whether two of the tokens that may be drawn are so near that rounding in fp32 exchanges their places."""
    ids = torch.tensor([[*case.prompt, *case.found[:place]]])
    with torch.inference_mode():
        best = model(ids, use_cache=False).logits[0, -1].topk(case.sampling.top_k + 1).values
    return float((best[:-1] - best[1:]).min()) <= 3e-6 * float(best[0])


def check(model, variant, seed, sampled=False):
    cases = schedule(seed, sampled, penalties=[1.0, 1.2] if variant == "fast" else [1.0])
    most = run(model, cases)
    for case in cases:
        alone = list(FastEngine(model).generate(case.prompt, case.tokens, case.sampling, ()))
        place = next((n for n, pair in enumerate(zip(case.found, alone, strict=False)) if pair[0] != pair[1]), None)
        if place is not None:
            if variant == "fast":  # where the noise belongs to places, a draw follows an exchange of two places
                assert case.sampling.do_sample, (seed, place)
                assert case.sampling.top_k, (seed, place)
                assert exchanged(model, case, place), (seed, place)
            else:
                assert within_rounding(model, case, place), (seed, place)
        elif case.leaves is None:
            assert case.found == alone, seed
        else:
            assert case.found == alone[: len(case.found)], seed
    return most


@pytest.fixture(scope="module", params=["fast", "int8", "int4"])
def loaded(request):
    return fastglm.load(MODEL, request.param)[0], request.param


@pytest.mark.parametrize("seed", range(2))
def test_greedy_text_is_that_alone(loaded, seed):
    assert check(*loaded, seed) >= 5


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("cache", ["auto", "int8"])
def test_sampled_text_is_that_alone(cache, seed):
    model = fastglm.load(MODEL, "fast", cache=cache)[0]
    assert check(model, "fast", 100 + seed, sampled=True) >= 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200, 400))
def test_two_hundred_schedules(loaded, seed):
    check(*loaded, seed)
    if loaded[1] == "fast":
        check(*loaded, seed, sampled=True)


def test_a_request_waits_for_room_while_others_run_and_is_refused_alone(monkeypatch):
    model = fastglm.load(MODEL, "fast")[0]
    wanted = [list(FastEngine(model).generate([5, GMASK, SOP], count, GREEDY, ())) for count in (8, 4)]
    scheduler, found = Scheduler(model), {}
    scheduler.add(0, [5, GMASK, SOP], 8, GREEDY, lambda _: False)
    scheduler.step()
    one, available = runner_of(model).memory, [0]
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": available[0]}))
    available[0] = one - 1  # enough for what runs, not for a second slot
    scheduler.add(1, [5, GMASK, SOP], 4, GREEDY, lambda _: False)
    turns = []
    for turn in range(20):
        for news in scheduler.step():
            found.setdefault(news.id, []).append(news.token)
            turns.append((turn, news.id))
        if turn == 6:
            available[0] = one  # free again when the first has left
    assert found == {0: wanted[0][1:], 1: wanted[1]}
    assert min(turn for turn, id in turns if id == 1) > max(turn for turn, id in turns if id == 0)
    available[0] = one - 1
    scheduler.add(2, [5, GMASK, SOP], 4, GREEDY, lambda _: False)
    (news,) = scheduler.step()
    assert isinstance(news.token, MemoryShortError)
    assert not scheduler.busy


def test_the_longest_request_fails_where_its_growth_finds_no_memory_and_the_others_go_on(monkeypatch):
    model = fastglm.load(MODEL, "fast")[0]
    wanted = list(FastEngine(model).generate([5, GMASK, SOP], 30, GREEDY, ()))
    scheduler, found = Scheduler(model), {}
    scheduler.add(0, [5, GMASK, SOP], 30, GREEDY, lambda _: False)
    scheduler.add(1, [*[7] * 60, GMASK, SOP], 200, GREEDY, lambda _: False)
    monkeypatch.setattr("fastglm.engine.runner.ROOM", 4)
    scheduler.step()
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 0}))
    while scheduler.busy:
        for news in scheduler.step():
            found.setdefault(news.id, []).append(news.token)
    assert found[0] == wanted[1:]
    assert isinstance(found[1][-1], MemoryShortError)
