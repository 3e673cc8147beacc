"""Errors that nobody expected: those of a step fail all requests in it, those of a request fail that request alone."""

import pytest
import torch
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, FastEngine, Sampling
from fastglm.engine.runner import runner_of
from fastglm.engine.scheduler import Scheduler
from fastglm.errors import MemoryShortError
from fastglm.generation.streams import Streams

MODEL = str(folder("chatglm"))
PROMPTS = [[5, 6, 7, 86, 89], [*range(5, 70), 86, 89], [9, 86, 89], [8, 7, 86, 89]]
DRAWN = Sampling(seed=3, temperature=1.5, top_k=20, repetition_penalty=1.2)


@pytest.fixture(scope="module")
def loaded():
    return fastglm.load(MODEL, "fast")


@pytest.fixture
def model(loaded):
    yield loaded[0]
    assert runner_of(loaded[0]).memory == 0


def alone(model, number, tokens=12, sampling=GREEDY):
    return list(FastEngine(model).generate(PROMPTS[number], tokens, sampling, ()))


def never(_):
    return False


def collect(scheduler, found, rounds=1000):
    """Tokens and failures by request."""
    while scheduler.busy and rounds:
        for news in scheduler.step():
            found.setdefault(news.id, []).append(news.token)
        rounds -= 1
    return found


def raising_once(patch, target, name, error, when=lambda *_: True):
    """Let a method raise an error the first time that its arguments are so."""
    work, left = getattr(target, name), [error]

    def broken(*args, **named):
        if left and when(*args):
            raise left.pop()
        return work(*args, **named)

    patch.setattr(target, name, broken)


@pytest.mark.parametrize("where", ["layer", "sampler", "reader"])
def test_an_error_of_a_step_ends_all_requests_in_it_and_no_later_one(model, monkeypatch, where):
    settings = [GREEDY, DRAWN, GREEDY]
    wanted = [alone(model, number, sampling=sampling) for number, sampling in enumerate(settings)]
    scheduler, error, found = Scheduler(model), RuntimeError("a kernel failed"), {}
    for number, sampling in enumerate(settings):
        scheduler.add(number, PROMPTS[number], 12, sampling, never)
        collect(scheduler, found, rounds=1)
    if where == "layer":
        mlp = model.transformer.layers[2].mlp
        raising_once(monkeypatch, mlp, "forward", error, lambda x: len(x) == 3)
    elif where == "sampler":
        raising_once(monkeypatch, scheduler, "_choose", error)
    else:
        raising_once(monkeypatch, scheduler._reader, "finish", error)
    scheduler.add(3, PROMPTS[3], 12, GREEDY, never)
    collect(scheduler, found)
    shown = {0: 3, 1: 2, 2: 1}
    failed = [0, 1, 2, 3] if where == "reader" else [0, 1, 2]  # the reader's error is that of the entered one, too
    assert {number: found[number][-1] for number in failed} == dict.fromkeys(failed, error)
    assert {number: found[number][:-1] for number in shown} == {n: wanted[n][:count] for n, count in shown.items()}
    assert found[3] == ([error] if where == "reader" else alone(model, 3))
    assert runner_of(model).memory == 0
    assert alone(model, 0) == wanted[0]


def test_an_error_of_a_prompt_ends_that_request_alone(model, monkeypatch):
    scheduler, found, error = Scheduler(model), {}, RuntimeError("a kernel failed")
    scheduler.add(0, PROMPTS[0], 12, GREEDY, never)
    collect(scheduler, found, rounds=2)
    raising_once(
        monkeypatch, model.transformer.layers[2].mlp, "forward", error, lambda x: x.shape[1] == len(PROMPTS[1])
    )
    for number in (1, 2):
        scheduler.add(number, PROMPTS[number], 12, GREEDY, never)
    assert collect(scheduler, found) == {0: alone(model, 0), 1: [error], 2: alone(model, 2)}


def test_an_error_of_a_stop_check_ends_that_request_alone(model):
    def ends(_):
        raise ZeroDivisionError("a bug")

    scheduler, found = Scheduler(model), {}
    scheduler.add(0, PROMPTS[0], 12, GREEDY, never)
    scheduler.add(1, PROMPTS[1], 12, GREEDY, ends)
    scheduler.add(2, PROMPTS[2], 12, DRAWN, never)
    collect(scheduler, found)
    (error,) = found.pop(1)
    assert isinstance(error, ZeroDivisionError)
    assert found == {0: alone(model, 0), 2: alone(model, 2, sampling=DRAWN)}


@pytest.mark.parametrize("way", [{"do_sample": False}, {"seed": 3, "repetition_penalty": 1.2}])
def test_an_error_in_making_text_ends_that_request_alone(model, loaded, monkeypatch, way):
    tokenizer = loaded[1]
    wanted = [
        [piece.text for piece in fastglm.stream(*loaded, prompt, max_new_tokens=8, ignore_eos=True, **way)]
        for prompt in PROMPTS[:3]
    ]
    streams, found = Streams(model, tokenizer), {}
    for number in range(3):
        streams.add(number, PROMPTS[number], max_new_tokens=8, ignore_eos=True, **way)
    raising_once(monkeypatch, streams._answers[1]._detokenizer, "add", UnicodeError("a bug"))
    while streams.busy:
        for id, news in streams.step():
            found.setdefault(id, []).append(getattr(news, "text", news))
    (error,) = found.pop(1)
    assert isinstance(error, UnicodeError)
    assert found == {0: [*wanted[0], None], 2: [*wanted[2], None]}


def test_an_error_of_the_choice_of_an_entering_request_is_its_own(model, monkeypatch):
    scheduler, found, error = Scheduler(model), {}, RuntimeError("no random numbers")
    scheduler.add(0, PROMPTS[0], 12, GREEDY, never)
    collect(scheduler, found, rounds=2)
    with monkeypatch.context() as patch:
        patch.setattr(Sampling, "make_generator", lambda *_: (_ for _ in ()).throw(error))
        scheduler.add(1, PROMPTS[1], 12, DRAWN, never)
        collect(scheduler, found, rounds=1)
    assert collect(scheduler, found) == {0: alone(model, 0), 1: [error]}


def test_a_request_that_is_abandoned_during_a_step_leaves_that_step_untouched(model):
    wanted = [alone(model, number) for number in range(3)]
    answers = [FastEngine(model).generate(prompt, 12, GREEDY, ()) for prompt in PROMPTS[:3]]
    found = [[next(answer) for _ in range(3)] for answer in answers]
    layer = model.transformer.layers[2]
    hook = layer.register_forward_hook(lambda *_: answers[0].close())  # as garbage is collected
    found[2].append(next(answers[2]))
    hook.remove()
    assert [[*found[number], *answers[number]] for number in (1, 2)] == wanted[1:]


def test_remains_of_a_failed_prompt_disturb_no_later_request(model, monkeypatch):
    keys, later = model.transformer.layers[1].attention.query_key_value, model.transformer.layers[2].mlp
    wanted, kept = alone(model, 2), FastEngine(model).generate(PROMPTS[0], 12, GREEDY, ())
    next(kept)  # so that the cache stays
    with monkeypatch.context() as patch:
        patch.setattr(keys, "forward", lambda x, work=keys.forward: work(x) * torch.nan)
        raising_once(patch, later, "forward", RuntimeError("a kernel failed"))
        with pytest.raises(RuntimeError, match="a kernel failed"):
            alone(model, 1)
    assert alone(model, 2) == wanted
    kept.close()


def test_the_longest_request_fails_where_the_choice_finds_no_memory_and_the_others_go_on(model, monkeypatch):
    scheduler, found = Scheduler(model), {}
    for number in range(3):
        scheduler.add(number, PROMPTS[number], 12, GREEDY, never)
    collect(scheduler, found, rounds=3)
    raising_once(
        monkeypatch, scheduler, "_choose", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    )
    collect(scheduler, found)
    assert isinstance(found[1].pop(), MemoryShortError)
    assert found == {0: alone(model, 0), 1: alone(model, 1)[:3], 2: alone(model, 2)}


def test_the_longest_request_fails_where_the_second_of_two_devices_has_no_memory(monkeypatch):
    wanted = [alone(fastglm.load(MODEL, "fast")[0], number) for number in range(3)]
    monkeypatch.setattr("fastglm.variants.load.resolve_devices", lambda _: [torch.device("cpu")] * 2)
    model = fastglm.load(MODEL, "fast", "cpu,cpu")[0]
    assert len(model.stages) == 2
    scheduler, found = Scheduler(model), {}
    for number in range(3):
        scheduler.add(number, PROMPTS[number], 12, GREEDY, never)
    collect(scheduler, found, rounds=3)
    last = model.transformer.layers[-1].mlp
    raising_once(monkeypatch, last, "forward", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    collect(scheduler, found)
    assert isinstance(found[1].pop(), MemoryShortError)
    assert found == {0: wanted[0], 1: wanted[1][:3], 2: wanted[2]}
    assert runner_of(model).memory == 0
