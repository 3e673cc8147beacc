"""Learned prefixes (P-Tuning v2): the recorded results, in transformers' model, in the engines and in evaluation."""

import copy

import pytest
import torch
import torch.nn.functional as F
from learned import PREFIXES, recorded, save

import fastglm
from fastglm.capacity import STEP
from fastglm.compress.size import predict_size
from fastglm.engine import GREEDY, BatchEngine, FastEngine
from fastglm.engine.runner import runner_of
from fastglm.errors import FastGLMError, UsageError
from fastglm.evaluate.likelihood import answer_losses, batches_of
from fastglm.kernels.exact import exact_arithmetic
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.loading import weights_memory
from fastglm.models.packing import Example

SETTINGS = {"do_sample": False, "eos_token_id": None}


@pytest.fixture(scope="module")
def saved(record, tmp_path_factory):
    """A checkpoint that holds the model and its prefix."""
    return save(record, tmp_path_factory.mktemp("saved") / record.name)


@pytest.fixture(scope="module")
def plain_fast(plain, tmp_path_factory):
    return fastglm.load(str(save(plain, tmp_path_factory.mktemp("plain"))), "fast")[0]


def batch(record, model=None):
    ids = torch.tensor(record.found["batch"]["input_ids"])
    return {"input_ids": ids, "attention_mask": (ids != (model or record.model).config.pad).long()}


@torch.inference_mode()
def check_recorded(record, model):
    for number, ids in enumerate(record.prompts):
        for use_cache in (True, False):
            logits = model(torch.tensor([ids]), use_cache=use_cache).logits[0]
            torch.testing.assert_close(logits, record.tensors[f"logits_{number}"], atol=1e-4, rtol=0)
    last = model(**batch(record)).logits[:, -1]
    torch.testing.assert_close(last, record.tensors["batch_last_logits"], atol=1e-4, rtol=0)


def check_answers(record, model):
    for ids, answer in zip(record.prompts, record.answers, strict=True):
        assert model.generate(torch.tensor([ids]), max_new_tokens=32, **SETTINGS)[0, len(ids) :].tolist() == answer
    found = model.generate(**batch(record), max_new_tokens=16, **SETTINGS)
    assert found[:, len(record.found["batch"]["input_ids"][0]) :].tolist() == record.found["batch"]["new_ids"]


def test_keys_and_values_are_the_recorded(record):
    layers = record.model.prefix().layers
    found = [torch.stack([x[0].transpose(0, 1)[:, None] for x in pair]) for pair in layers]
    assert torch.equal(torch.stack(found), record.tensors["past_key_values"])


def test_logits_are_the_recorded(record):
    check_recorded(record, record.model)


def test_answers_are_the_recorded(record):
    check_answers(record, record.model)


def test_loss_and_gradient_are_the_recorded(record):
    train, model = record.found["train"], copy.deepcopy(record.model)
    for checkpointing in (False, True):
        model.zero_grad()
        if checkpointing:
            model.gradient_checkpointing_enable()
            model.train()
            model.prefix_encoder.eval()  # no dropout in the record
        loss = model(torch.tensor(train["input_ids"]), labels=torch.tensor(train["labels"])).loss
        assert loss.item() == pytest.approx(train["loss"], abs=1e-5)
        loss.backward()
        norms = {name: weight.grad.norm().item() for name, weight in model.prefix_encoder.named_parameters()}
        assert norms == pytest.approx(train["gradient_norms"], rel=1e-4)


def test_training_drops_a_part_of_the_prefix(plain):
    encoder = copy.deepcopy(plain.model.prefix_encoder).train()
    keys = torch.stack([x for pair in encoder().layers for x in pair])
    assert 0.05 < (keys == 0).float().mean().item() < 0.15


def test_an_answer_computes_the_prefix_once(record):
    calls = []
    with record.model.prefix_encoder.register_forward_hook(lambda *_: calls.append(1)):
        record.model.generate(torch.tensor([record.prompts[0]]), max_new_tokens=4, **SETTINGS)
    assert len(calls) == 1


@torch.inference_mode()
def test_parts_of_an_answer_and_other_caches_see_the_prefix(plain):
    model, ids = plain.model, plain.prompts[1] + plain.answers[1]
    whole = model(torch.tensor([ids])).logits[0]
    cache, found = None, []
    for part in torch.tensor([ids]).split([len(plain.prompts[1]), 3, 1, len(plain.answers[1]) - 4], 1):
        outputs = model(part, past_key_values=cache, use_cache=True)
        cache = copy.deepcopy(outputs.past_key_values)
        found.append(outputs.logits[0])
    torch.testing.assert_close(torch.cat(found), whole, atol=1e-4, rtol=0)
    ids = torch.tensor([plain.prompts[1]])
    assert cache.get_seq_length() == len(plain.prompts[1] + plain.answers[1])
    looked_up = model.generate(ids, max_new_tokens=32, prompt_lookup_num_tokens=3, **SETTINGS)
    assert looked_up[0, ids.shape[1] :].tolist() == plain.answers[1]
    beams = model.generate(ids.repeat(2, 1), max_new_tokens=8, num_beams=3, **SETTINGS)
    uncached = model.generate(ids.repeat(2, 1), max_new_tokens=8, num_beams=3, use_cache=False, **SETTINGS)
    assert torch.equal(beams, uncached)


def test_a_saved_model_has_its_prefix(record, saved):
    check_recorded(record, type(record.model).from_pretrained(saved).eval())
    model, _ = fastglm.load(str(saved))
    check_recorded(record, model)
    check_answers(record, model)


def test_the_fast_engine_answers_as_recorded(record, saved):
    model, _ = fastglm.load(str(saved), "fast")
    assert predict_size(model.config).bytes == weights_memory(model)
    assert BatchEngine(model).answer(record.prompts, 32, GREEDY) == record.answers
    assert list(FastEngine(model).generate(record.prompts[1], 32, GREEDY, ())) == record.answers[1]


@torch.inference_mode()
def stepped(model, record):
    """Logits after the prompts, and after each of the first tokens of the answers, in slots side by side."""
    runner, found = runner_of(model), []
    slots, logits = runner.prefill([torch.tensor(ids) for ids in record.prompts], [8] * len(record.prompts))
    for tokens in torch.tensor([answer[:8] for answer in record.answers]).T:
        found.append(logits)
        logits = runner.step(slots, tokens[:, None])[0][:, -1].clone()
    runner.free(slots)
    return torch.stack([*found, logits], 1)


@torch.inference_mode()
def test_a_slot_has_room_for_the_prefix_and_a_long_prompt(plain, plain_fast):
    runner, ids = runner_of(plain_fast), torch.arange(5, STEP + 3) % 80
    slots, logits = runner.prefill([ids], [1])
    runner.free(slots)
    torch.testing.assert_close(logits[0], plain.model(ids[None]).logits[0, -1], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("variant", "cache"), [("fast", "int8"), ("int8", "auto"), ("int4", "int8")])
def test_slots_of_any_format_begin_with_the_prefix(record, saved, variant, cache):
    model, _ = fastglm.load(str(saved), variant, cache=cache)
    for found, own in zip(model.prefix().layers, record.model.prefix().layers, strict=True):
        torch.testing.assert_close(found, own)
    with (
        torch.inference_mode(),
        exact_arithmetic(model),
    ):  # else the ways chosen for the rows decide the rounding
        for logits, prompt, answer in zip(stepped(model, record), record.prompts, record.answers, strict=True):
            whole = model(torch.tensor([prompt + answer[:8]])).logits[0, -9:]
            assert (logits - whole).norm() < (1e-4 if cache == "auto" else 0.03) * whole.norm()


def test_scoring_and_layers_read_one_by_one_see_the_prefix(record, saved):
    answers = [answer[:size] for answer, size in zip(record.answers, (4, 9, 2), strict=True)]
    pairs = list(zip(record.prompts, answers, strict=True))
    examples = [Example(prompt + answer, len(prompt) - 1) for prompt, answer in pairs]
    batches = list(batches_of(examples, record.model.config))
    wanted = []
    for number in (1, 2, 0):  # the longest has a row of its own
        prompt, answer = pairs[number]
        with torch.inference_mode():
            logits = record.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        wanted.append(F.cross_entropy(logits, torch.tensor(answer), reduction="none"))
    torch.testing.assert_close(answer_losses(record.model, batches), torch.cat(wanted), atol=1e-4, rtol=0)
    layerwise = LayerwiseModel(Checkpoint(saved), torch.device("cpu")).finals(batches)
    torch.testing.assert_close(layerwise.losses, torch.cat(wanted), atol=1e-4, rtol=0)


def test_quantizing_by_texts_sees_the_prefix(saved, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"你好，请介绍一下你自己{'。' * (1 + n)}\n" for n in range(40)), encoding="utf-8")
    fastglm.compress(str(saved), "int8", tmp_path / "int8", texts)
    assert Checkpoint(tmp_path / "int8").config.pre_seq_len == 8


def test_a_model_with_a_prefix_is_not_pruned(saved, tmp_path):
    (tmp_path / "texts.txt").write_text("".join(f"你好{n}\n" for n in range(40)), encoding="utf-8")
    with pytest.raises(UsageError, match="the checkpoint that it was tuned from"):
        fastglm.compress(str(saved), "pruned", tmp_path / "pruned", tmp_path / "texts.txt")


def test_layers_of_different_widths_have_no_prefix():
    config = copy.deepcopy(recorded(PREFIXES[0]).model.config)
    config.num_attention_heads, config.head_dim = [8, 4], 8
    with pytest.raises(FastGLMError, match="different numbers of heads"):
        config.check()
