"""The rule of the slots: a request that runs beside others gives the text that it gives alone."""

import random
from dataclasses import dataclass, field, replace

import pytest
import torch
from captured import like_cuda
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, FastEngine, Sampling, SpeculativeEngine, pace
from fastglm.engine.compile import prepare
from fastglm.engine.compile.step import CompiledStep
from fastglm.engine.pace import Pace
from fastglm.engine.reading import Reading
from fastglm.engine.runner import runner_of
from fastglm.engine.scheduler import Scheduler
from fastglm.engine.speculative import Draft
from fastglm.errors import MemoryShortError
from fastglm.kernels.exact import exact_arithmetic

MODEL = str(folder("chatglm"))
CAUSAL = str(folder("glm4"))
SHORT, LONG = (1, 3, 9, 30, 61, 62, 100), (1, 9, 30, 100, 150, 200)  # tokens of prompts
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


def schedule(seed, sampled, penalties, lengths):
    draw = random.Random(seed)
    cases = []
    for number in range(REQUESTS):
        prompt = [*(draw.randrange(5, 80) for _ in range(draw.choice(lengths))), GMASK, SOP]
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
    for turn in range(400):
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
    """Tell whether two of the tokens that may be chosen are so near that rounding in fp32 exchanges their places."""
    ids = torch.tensor([[*case.prompt, *case.found[:place]]])
    with torch.inference_mode():
        count = case.sampling.top_k if case.sampling.do_sample else 1
        best = model(ids, use_cache=False).logits[0, -1].topk(count + 1).values
    return float((best[:-1] - best[1:]).min()) <= 3e-6 * float(best[0])


def near_draw(model, case, place):
    """Tell whether the same noise draws the token that was found, if rounding in fp32 has moved the logits a little."""
    generator = torch.Generator().manual_seed(0)

    def move(_module, _inputs, logits):
        return logits * (1 + 1e-6 * torch.randn(logits.shape, generator=generator))

    for _ in range(40):
        with model.head.register_forward_hook(move):
            drawn = list(FastEngine(model).generate(case.prompt, place + 1, case.sampling, ()))
        if drawn == case.found[: place + 1]:
            return True
    return False


def check(model, variant, seed, sampled=False, compiled=False, lengths=SHORT):
    cases = schedule(seed, sampled, [1.0, 1.2] if variant == "fast" and not compiled else [1.0], lengths)
    most = run(model, cases)
    for case in cases:
        alone = list(FastEngine(model).generate(case.prompt, case.tokens, case.sampling, ()))
        place = next((n for n, pair in enumerate(zip(case.found, alone, strict=False)) if pair[0] != pair[1]), None)
        if place is not None:
            if variant == "fast":  # where the noise belongs to places, a draw follows an exchange of two places
                assert case.sampling.do_sample or compiled, (seed, place)
                near = exchanged if case.sampling.top_k else near_draw
                assert near(model, case, place), (seed, place)
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


@pytest.fixture(scope="module", params=["fast", "int8", "int4"])
def causal(request):
    return fastglm.load(CAUSAL, request.param)[0], request.param


def check_chunks(loaded, seed, patch, budget, sampled=False):
    """Check a schedule whose prompts are read in chunks of at most 32 tokens, for a budget of work in a round; returns
    the number of layers of chunks that ran.
    """
    patch.setattr(pace, "LEAST", 32)
    patch.setattr(pace, "MOST", 32)
    patch.setattr(Pace, "budget", budget)
    parts, advance = [], Reading.advance
    patch.setattr(Reading, "advance", lambda reading: parts.append(reading) or advance(reading))
    assert check(*loaded, seed, sampled, lengths=LONG) >= 2
    return len(parts)


BUDGETS = pytest.mark.parametrize("budget", [12, 33])  # a layer of a chunk in a round, and all three


@BUDGETS
@pytest.mark.parametrize("seed", range(2))
def test_greedy_text_beside_prompts_that_are_read_in_chunks_is_that_alone(causal, seed, budget, monkeypatch):
    assert check_chunks(causal, seed, monkeypatch, budget) > 50


@BUDGETS
def test_sampled_text_beside_prompts_that_are_read_in_chunks_is_that_alone(budget, monkeypatch):
    model = fastglm.load(CAUSAL, "fast")[0]
    assert check_chunks((model, "fast"), 100, monkeypatch, budget, sampled=True) > 50


@BUDGETS
def test_text_of_captured_steps_beside_prompts_that_are_read_in_chunks_is_that_alone(budget, monkeypatch):
    model = fastglm.load(CAUSAL, "fast")[0]
    monkeypatch.setattr("fastglm.engine.runner.ROOM", 8)
    like_cuda(monkeypatch)
    assert check_chunks((model, "fast"), 3, monkeypatch, budget) > 50


def test_text_beside_prompts_whose_tokens_see_later_ones_is_that_alone(monkeypatch):
    model = fastglm.load(MODEL, "fast")[0]
    monkeypatch.setattr(Pace, "budget", 12)
    assert check(model, "fast", 4, lengths=[1, 9, 100, 150]) >= 5


@pytest.mark.soak
@BUDGETS
@pytest.mark.parametrize("seed", range(200, 300))
def test_a_hundred_schedules_with_prompts_that_are_read_in_chunks(causal, seed, budget, monkeypatch):
    check_chunks(causal, seed, monkeypatch, budget)


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


@pytest.fixture(scope="module")
def made():
    """The models that `compiled` has made."""
    return {}


@pytest.fixture
def compiled(compiling, made, monkeypatch):
    """Make a model of which only the step of several rows is compiled, and note the numbers of rows that it runs."""
    compile_step = prepare._compile

    def several(model, *args, rows=1, **named):
        return compile_step(model, *args, rows=rows, **named) if rows > 1 else prepare.plain_step(model)

    def noted(step):
        run, rows = step._step, []
        assert isinstance(run, CompiledStep)
        step._step = lambda ids, *inputs: rows.append(len(ids)) or run(ids, *inputs)
        return rows

    def load(variant):
        if variant not in made:
            model = fastglm.load(MODEL, variant)[0]
            prepare.finish_several(model)
            made[variant] = model, noted(prepare._several[model])
        return made[variant]

    monkeypatch.setattr(prepare, "_compile", several)
    return load


@pytest.mark.timeout(900)  # on machines that others use too
def test_text_of_the_compiled_step_is_that_alone(compiled):
    model, rows = compiled("fast")
    assert check(model, "fast", 2, compiled=True) >= 5
    assert check(model, "fast", 102, sampled=True, compiled=True) >= 5
    assert set(rows) >= {2, 3, 4, 5}


@pytest.mark.soak
@pytest.mark.parametrize("variant", ["fast", "int8", "int4"])
@pytest.mark.parametrize("seed", range(200, 250))
def test_fifty_schedules_of_the_compiled_step(compiled, variant, seed):
    model, _ = compiled(variant)
    check(model, variant, seed, compiled=True)
    if variant == "fast":
        check(model, variant, seed, sampled=True, compiled=True)


def check_captured(seed, patch):
    model = fastglm.load(MODEL, "fast")[0]
    patch.setattr("fastglm.engine.runner.ROOM", 8)
    rows = like_cuda(patch)
    check(model, "fast", seed, sampled=seed % 2 == 1)
    return rows


def test_text_of_captured_steps_is_that_alone(monkeypatch):
    rows = check_captured(3, monkeypatch)
    assert {1, 2, 4, 8} <= set(rows) <= {1, 2, 4, 8, 16}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200, 250))
def test_fifty_schedules_of_captured_steps(seed, monkeypatch):
    check_captured(seed, monkeypatch)


def test_each_number_of_rows_is_captured_anew_where_the_cache_has_grown_or_was_released(monkeypatch):
    model = fastglm.load(MODEL, "fast")[0]
    asked = [([5 + number, GMASK, SOP], tokens) for number, tokens in enumerate((100, 100, 20, 12))]
    wanted = [list(FastEngine(model).generate(prompt, tokens, GREEDY, ())) for prompt, tokens in asked]
    rows = like_cuda(monkeypatch)
    monkeypatch.setattr("fastglm.engine.runner.ROOM", 8)
    for _ in range(2):
        del rows[:]
        scheduler, found = Scheduler(model), [[] for _ in asked]
        for id, (prompt, tokens) in enumerate(asked):
            scheduler.add(id, prompt, tokens, GREEDY, lambda _: False)
        while scheduler.busy:
            for news in scheduler.step():
                found[news.id].append(news.found())
        assert rows == [4, 2, 2]  # three rows run as four; two rows before and after the cache grew
        assert found == wanted
        assert runner_of(model).memory == 0
        assert (scheduler._sampler, scheduler._choose) == (None, None)  # the captured choice is gone too


def test_steps_of_one_and_of_several_tokens_are_captured_apart(monkeypatch):
    model = fastglm.load(MODEL, "fast")[0]
    wanted = list(FastEngine(model).generate([5, GMASK, SOP], 60, GREEDY, ()))
    rows = like_cuda(monkeypatch)
    model.draft = Draft(model, 0.2)
    assert list(SpeculativeEngine(model).generate([5, GMASK, SOP], 60, GREEDY, ())) == wanted
    assert set(rows) == {1}


def test_rows_that_only_fill_up_a_step_or_are_of_another_scheduler_stay_as_they_are(monkeypatch):
    model = fastglm.load(MODEL, "fast")[0]
    like_cuda(monkeypatch)
    first, second, found = Scheduler(model), Scheduler(model), {}
    for id, scheduler in enumerate((first, second, first)):
        scheduler.add(id, [5 + id, GMASK, SOP], 12, GREEDY, lambda _: False)
        scheduler.step()
    (cache,) = (stage.cache for stage in runner_of(model)._stages)
    assert (cache.slots, len(runner_of(model)._slots.taken)) == (4, 3)
    while first.busy:
        for scheduler in (first, first, second):
            for news in scheduler.step():
                found.setdefault(news.id, []).append(news.found())
        assert cache.place[3:].tolist() == [0] or not first.busy
    while second.busy:
        found[1] += [news.found() for news in second.step()]
    for id, tokens in found.items():
        alone = list(FastEngine(model).generate([5 + id, GMASK, SOP], 12, GREEDY, ()))
        assert tokens == alone[-len(tokens) :]


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
