"""Many answers at once: each equals its answer alone, rows leave when they end, and too little memory is handled."""

import random
from dataclasses import replace

import pytest
import torch
from captured import like_cuda
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, BatchEngine, FastEngine, Sampling, runner
from fastglm.engine import kv_cache as caches
from fastglm.errors import MemoryShortError

MODEL = str(folder("chatglm"))
MASK, GMASK, SOP = 85, 86, 89  # bytes of the small model
SAMPLING = Sampling(seed=3, temperature=2.0, top_p=0.9, top_k=200, repetition_penalty=1.2)


def prompts(count):
    """Prompts of 3 to 140 tokens; one without <sop>, whose answer has an empty context, and one with the other mask."""
    draw = random.Random(0)
    lengths = [3, 140, 9, 64, 31, 100, 5][:count]
    made = [[*(draw.randrange(5, 80) for _ in range(length - 2)), GMASK, SOP] for length in lengths]
    made[-1][-2:] = [7, 8]
    made[len(made) // 2][-2] = MASK
    return (made * (1 + count // len(made)))[:count]


@pytest.fixture(scope="module", params=["auto", "int8"])
def model(request):
    return fastglm.load(MODEL, "fast", cache=request.param)[0]


@pytest.fixture(scope="module")
def whole():
    return fastglm.load(MODEL, "fast")[0]


def alone(model, prompt, tokens, sampling=GREEDY, stops=()):
    return list(FastEngine(model).generate(prompt, tokens, sampling, stops))


def some_stops(model):
    """Tokens that occur now and then in greedy answers to `prompts`, so that answers end at different lengths."""
    answers = [alone(model, prompt, 24) for prompt in prompts(7)]
    return tuple(answer[place] for answer, place in zip(answers, (2, 5, 9, 13), strict=False))


@pytest.mark.parametrize("count", [1, 2, 7, 256])
def test_greedy_answers_are_those_of_single_rows(model, count):
    stops, asked = some_stops(model), prompts(count)
    found = BatchEngine(model).answer(asked, 24, GREEDY, lambda _, token: token in stops)
    known = {tuple(prompt): alone(model, prompt, 24, stops=stops) for prompt in prompts(min(count, 7))}
    assert found == [known[tuple(prompt)] for prompt in asked]
    assert count < 7 or len(set(map(len, found))) > 2


def test_greedy_answers_are_equal_where_the_cache_grows(model, monkeypatch):
    wanted = [alone(model, prompt, 60) for prompt in prompts(4)[::2]]
    monkeypatch.setattr(runner, "ROOM", 8)
    assert BatchEngine(model).answer(prompts(4)[::2], 60, GREEDY) == wanted


def test_greedy_answers_are_equal_where_prompts_run_in_parts(whole, monkeypatch):
    wanted = [alone(whole, prompt, 8) for prompt in prompts(7)]
    widths = []
    run = runner.Runner._run_prompts
    monkeypatch.setattr(runner, "TOKENS_AT_ONCE", 150)
    monkeypatch.setattr(
        runner.Runner, "_run_prompts", lambda *args: widths.append([len(x) for x in args[1]]) or run(*args)
    )
    assert BatchEngine(whole).answer(prompts(7), 8, GREEDY) == wanted
    assert widths == [[3, 5, 9, 31], [64], [100], [140]]


def test_a_row_draws_as_an_answer_of_its_own_seed(whole):
    found = BatchEngine(whole).answer(prompts(7), 24, SAMPLING)
    seeded = [replace(SAMPLING, seed=3 + number) for number in range(7)]
    assert found == [alone(whole, prompt, 24, one) for prompt, one in zip(prompts(7), seeded, strict=True)]
    same = BatchEngine(whole).answer([prompts(1)[0]] * 3, 24, SAMPLING)
    assert len(set(map(tuple, same))) == 3


def test_rows_that_have_ended_leave_at_once(whole):
    rows, told = [], []
    hook = whole.lm_head.register_forward_hook(lambda _module, inputs, _output: rows.append(len(inputs[0])))

    def ends(number, _token):
        told.append(number)
        return told.count(number) > number  # answer n has n + 1 tokens

    found = BatchEngine(whole).answer([prompts(7)[number % 7] for number in range(8)], 20, GREEDY, ends)
    hook.remove()
    assert [len(answer) for answer in found] == list(range(1, 9))
    assert rows[-7:] == [7, 6, 5, 4, 3, 2, 1]  # after the prompts


def test_every_answer_has_its_length_where_nothing_ends_it(whole):
    assert [len(answer) for answer in BatchEngine(whole).answer(prompts(7), 5, GREEDY)] == [5] * 7
    assert [len(answer) for answer in BatchEngine(whole).answer(prompts(2), 1, GREEDY)] == [1] * 2


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLING])
def test_steps_that_are_captured_and_launched_ahead_give_the_same(whole, monkeypatch, sampling):
    stops = some_stops(whole)
    wanted = [
        alone(whole, prompt, 40, replace(sampling, seed=3 + number), stops) for number, prompt in enumerate(prompts(7))
    ]
    captured = like_cuda(monkeypatch)
    assert BatchEngine(whole).answer(prompts(7), 40, sampling, lambda _, token: token in stops) == wanted
    assert captured == sorted(captured, reverse=True)
    assert {4, 8} <= set(captured) <= {1, 2, 4, 8}


@pytest.mark.parametrize("where", ["cache", "growing", "step", "promised"])
def test_no_memory_for_a_batch_is_one_clear_line(whole, monkeypatch, where):
    monkeypatch.setattr(runner, "ROOM", 8)
    asked = prompts(3)[::2]
    engine, wanted = BatchEngine(whole), BatchEngine(whole).answer(asked, 60, GREEDY)
    empty, clear = caches.huge_pages.empty, r"^There is no memory for .*: ask less at once, keep .* smaller variant\.$"

    def fails(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it")

    with monkeypatch.context() as patch:
        if where == "cache":
            patch.setattr(
                caches.huge_pages, "empty", lambda shape, *args: (fails if len(shape) > 3 else empty)(shape, *args)
            )
        elif where == "growing":
            patch.setattr(caches.torch.nn.functional, "pad", fails)
        elif where == "step":
            patch.setattr(whole.transformer.layers[1].mlp, "forward", fails)
        else:
            patch.setattr(
                "fastglm.system.memory.psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000})
            )
        with pytest.raises(MemoryShortError, match=clear):
            engine.answer(asked, 60, GREEDY)
    assert runner.runner_of(whole).memory == 0
    assert engine.answer(asked, 60, GREEDY) == wanted


def test_the_last_token_is_asked_about_too(model):
    asked: list[list[int]] = [[], []]
    found = BatchEngine(model).answer(prompts(2), 3, GREEDY, lambda number, token: asked[number].append(token))
    assert found == asked
