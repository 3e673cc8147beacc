"""Models over several devices: on a CPU in place of all of them, and on devices that compute nothing."""

import pytest
import torch
from accelerate import infer_auto_device_map
from recorded import expected, folder
from transformers import AutoConfig, AutoModel

import fastglm
from fastglm.engine import GREEDY, BatchEngine, FastEngine, Sampling, runner
from fastglm.engine import kv_cache as caches
from fastglm.engine.cuda_graph import Captured

GOLDEN = str(folder("chatglm"))
CPU, META = torch.device("cpu"), torch.device("meta")
PROMPT = expected("chatglm")["generate"][0]["input_ids"]


@pytest.fixture
def load(monkeypatch):
    """Load a variant on one device, and over several devices that are all the CPU."""

    def loaded(variant, **settings):
        whole = fastglm.load(GOLDEN, variant, **settings)
        monkeypatch.setattr("fastglm.variants.load.resolve_devices", lambda names: [CPU] * len(names.split(",")))
        spread = fastglm.load(GOLDEN, variant, "cpu,cpu", **settings)
        monkeypatch.undo()
        assert [device for _, device in spread[0].stages] == [CPU, CPU]
        assert spread[0].fastglm.device == "cpu,cpu"
        return whole, spread

    return loaded


def answer(loaded, tokens=20, **settings):
    settings = {"do_sample": False, "ignore_eos": True, **settings}
    return [piece.token for piece in fastglm.stream(*loaded, PROMPT, max_new_tokens=tokens, **settings)]


@pytest.mark.parametrize(
    ("variant", "cache"), [("original", "auto"), ("fast", "auto"), ("int8", "auto"), ("int4", "auto"), ("int4", "int8")]
)
def test_answers_are_those_of_one_device(load, variant, cache):
    whole, spread = load(variant, cache=cache)
    assert answer(spread) == answer(whole)
    drawn = {"do_sample": True, "seed": 3, "repetition_penalty": 1.2}
    assert answer(spread, **drawn) == answer(whole, **drawn)


@pytest.mark.parametrize("variant", ["fast", "int4"])
@torch.inference_mode()
def test_logits_and_the_memory_of_the_cache_are_those_of_one_device(load, variant):
    found = []
    for model, _ in load(variant):
        running = runner.runner_of(model)
        (slot,), first = running.prefill([torch.tensor(PROMPT)], [8])
        logits = [first]
        for ids in ([5], [6, 7, 8], [9]):
            logits.append(running.step([slot], torch.tensor([ids]))[0].flatten(0, 1))
        running.rewind(slot, 4)
        logits.append(running.step([slot], torch.tensor([[6]]))[0][0])
        found.append((torch.cat(logits), running.memory))
        running.free([slot])
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] > 0


def test_caches_grow_on_every_device(load, monkeypatch):
    whole, spread = load("fast")
    monkeypatch.setattr(runner, "ROOM", 8)
    assert answer(spread, 150) == answer(whole, 150)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=1, repetition_penalty=1.1)])
def test_many_answers_at_once_are_those_of_one_device(load, sampling):
    whole, spread = load("int8")
    prompts = [PROMPT, PROMPT[:-3] + PROMPT[-1:], PROMPT[2:], PROMPT[:1] + PROMPT]
    ends = lambda number, token: (number + token) % 5 == 0  # noqa: E731
    assert BatchEngine(spread[0]).answer(prompts, 12, sampling, ends) == BatchEngine(whole[0]).answer(
        prompts, 12, sampling, ends
    )


def test_a_graph_is_captured_for_every_stage(load, monkeypatch):
    whole, spread = load("fast")
    wanted, replayed = answer(whole, 12), []

    def capture(work, device):
        """Each replay writes into the same result: hidden states of the first stage, logits and tokens of the last."""
        if not replayed:
            result = torch.zeros(1, 1, 64)
            return lambda: (replayed.append("inner"), result.copy_(work())), result
        both = torch.zeros(1, 1, spread[0].config.vocab_size), torch.zeros(1, 1, dtype=torch.long)

        def replay():
            replayed.append("last")
            for target, new in zip(both, work(), strict=True):
                target.copy_(new)

        return replay, both

    def reading_all(*args):
        cache = caches.make_cache(*args)
        cache.reads_all = True  # like a captured step
        return cache

    monkeypatch.setattr(runner, "make_cache", reading_all)
    monkeypatch.setattr(runner, "Captured", lambda run: Captured(run, capture))
    assert list(FastEngine(spread[0]).generate(PROMPT, 12, GREEDY, ())) == wanted
    assert replayed == ["inner", "last"] * 10  # the first token is the prompt's, and the first step runs as it is


@pytest.fixture
def on_two(monkeypatch):
    """A model whose first layers are on the CPU and the rest on `meta`, which computes nothing; mixing devices is an
    error.
    """
    monkeypatch.setattr("fastglm.variants.load.resolve_devices", lambda _: [CPU, META])
    monkeypatch.setattr("fastglm.models.loading.free_memory", lambda _: 2**30)
    monkeypatch.setattr("fastglm.variants.load.weights_memory", lambda _: 0)
    to = torch.Tensor.to

    def moved(tensor, *args, **settings):
        if tensor.is_meta and args[0] == CPU:
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        return to(tensor, *args, **settings)

    monkeypatch.setattr(torch.Tensor, "to", moved)
    model, _ = fastglm.load(GOLDEN, "original", "cpu,meta", dtype="float32")
    assert [device for _, device in model.stages] == [CPU, META]
    return model


@torch.inference_mode()
def test_nothing_of_a_step_is_on_the_wrong_device(on_two):
    running = runner.runner_of(on_two)
    prompts = [torch.tensor(PROMPT, device=META), torch.tensor(PROMPT[1:], device=META)]
    slots, logits = running.prefill(prompts, [8, 8])
    assert logits.is_meta
    inner, last = (stage.cache for stage in running._stages)
    for cache, device in ((inner, CPU), (last, META)):
        assert {tensor.device for tensor in (*cache.held, *cache.inputs(0, 2, 20))} == {device}
    for ids in ([[7], [8]], [[9], [6]]):
        assert [tensor.is_meta for tensor in running.step(slots, torch.tensor(ids, device=META))] == [True, True]
    running.rewind(slots[1], 1)
    assert running.step(slots[::-1], torch.tensor([[7], [8]], device=META))[1].is_meta
    running.free(slots[:1])
    assert [tensor.is_meta for tensor in running.step(slots[1:], torch.tensor([[7]], device=META))] == [True, True]
    running.free(slots[1:])


@torch.inference_mode()
def test_nothing_of_the_published_forward_is_on_the_wrong_device(on_two):
    ids = torch.tensor([PROMPT], device=META)
    plan = on_two.plan(ids)
    inputs = {"position_ids": plan.position_ids, "attention_mask": plan.attention_mask}
    out = on_two(ids, **inputs, use_cache=True)
    assert out.logits.is_meta
    kept = [layer.keys.device for layer in out.past_key_values.layers]
    assert kept == [device for layers, device in on_two.stages for _ in layers]
    on_two.transformer.entries = {}
    with pytest.raises(RuntimeError, match="device"):
        on_two(ids, **inputs)


def test_accelerate_keeps_layers_whole():
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.from_pretrained(GOLDEN))
    layer = sum(p.nbytes for p in model.transformer.layers[0].parameters())
    ends = sum(p.nbytes for p in model.transformer.word_embeddings.parameters())
    placed = infer_auto_device_map(
        model,
        max_memory={0: ends + 2 * layer, 1: 100 * layer + ends},
        no_split_module_classes=model._no_split_modules,
    )
    layers = {name: place for name, place in placed.items() if ".layers." in name}
    assert all(name.removeprefix("transformer.layers.").isdecimal() for name in layers)
    assert len(layers) == model.config.num_layers
    assert set(layers.values()) == {0, 1}
