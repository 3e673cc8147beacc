"""The fast engine: steps of several tokens, chunked prompts, memory, and failing answers."""

import gc
import itertools

import psutil
import pytest
import torch
from recorded import expected, folder

import fastglm
from fastglm.capacity import STEP
from fastglm.engine import fast
from fastglm.engine import kv_cache as caches
from fastglm.engine.compile.prepare import step_of
from fastglm.engine.kv_cache import PromptRows, make_cache
from fastglm.errors import MemoryShortError
from fastglm.models.chatglm import block

CASES = expected("chatglm")
PROMPT = CASES["generate"][0]["input_ids"]


@pytest.fixture(scope="module")
def loaded():
    return fastglm.load(str(folder("chatglm")), "fast")


def greedy(loaded, prompt="你好", tokens=32):
    return [
        piece.token
        for piece in fastglm.stream(*loaded, prompt, max_new_tokens=tokens, do_sample=False, ignore_eos=True)
    ]


def begun(model):
    """A cache that contains the prompt, and the step."""
    step, inputs = step_of(model), torch.tensor([PROMPT])
    cache, plan = make_cache(model), model.plan(inputs)
    cache.resize(1, STEP)
    step.decoder(inputs, plan.position_ids, plan.attention_mask, PromptRows(cache, [0], [0]), keep=1)
    cache.begin([0], [len(PROMPT)], plan.next_position_ids(2))
    return step, cache.inputs(0, 1, STEP), cache


@torch.inference_mode()
@pytest.mark.parametrize("cache", ["auto", "int8"])
def test_several_tokens_at_once_are_as_one_by_one(cache):
    model, _ = fastglm.load(str(folder("chatglm")), "fast", cache=cache)
    ids = torch.tensor([CASES["generate"][0]["new_ids"][:6]])
    step, inputs, _ = begun(model)
    one_by_one = torch.cat([step(ids[:, i : i + 1], *inputs)[0] for i in range(6)], 1)
    step, inputs, held = begun(model)
    step(ids[:, :3] * 0 + 7, *inputs)  # tokens that turn out wrong
    held.rewind(0, 3)
    logits, best = step(ids, *inputs)
    torch.testing.assert_close(logits, one_by_one, rtol=1e-4, atol=1e-4)
    assert torch.equal(best, one_by_one.argmax(-1))


@pytest.mark.parametrize("variant", ["original", "fast"])
def test_a_prompt_in_chunks_of_rows_gives_the_same(variant, monkeypatch):
    model, tokenizer = fastglm.load(str(folder("chatglm")), variant)
    whole = greedy((model, tokenizer), list(range(100, 180)), 8)
    monkeypatch.setattr(block, "ROWS", 16)
    widest = []
    model.transformer.layers[0].mlp.dense_4h_to_h.register_forward_hook(
        lambda _module, inputs, _output: widest.append(inputs[0].shape[1])
    )
    assert greedy((model, tokenizer), list(range(100, 180)), 8) == whole
    assert max(widest) == 16


def test_no_memory_for_a_cache_ends_the_answer_and_nothing_else(loaded, monkeypatch):
    wanted = greedy(loaded, tokens=200)

    def pad(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with monkeypatch.context() as patch:
        patch.setattr(caches.torch.nn.functional, "pad", pad)
        pieces = fastglm.stream(*loaded, "你好", max_new_tokens=200, do_sample=False, ignore_eos=True)
        shown = []
        with pytest.raises(MemoryShortError, match="no memory for the keys and values"):
            shown.extend(piece.token for piece in pieces)
    assert shown == wanted[: len(shown)]
    assert len(shown) > 100
    assert greedy(loaded, tokens=200) == wanted


def test_a_cancelled_answer_frees_its_cache(loaded):
    engine = fast.FastEngine(loaded[0])
    tokens = engine.generate(PROMPT, 100, fastglm.engine.Sampling(seed=1), ())
    list(itertools.islice(tokens, 3))
    assert engine.cache_memory(0) > 0
    tokens.close()
    assert engine.cache_memory(0) == 0


def test_memory_is_flat_over_a_thousand_chats(loaded):
    process = psutil.Process()

    def chats(count):
        for seed in range(count):
            for piece in fastglm.stream(*loaded, "你好", max_new_tokens=3, seed=seed):
                if piece.tokens == seed % 3:
                    break
        gc.collect()
        return process.memory_info().rss

    before = chats(100)
    assert chats(900) - before < 4 * 2**20


def test_a_model_that_is_converted_afterwards_answers_in_its_new_dtype():
    model, tokenizer = fastglm.load(str(folder("chatglm")), "fast")
    greedy((model, tokenizer), tokens=2)
    model.to(torch.bfloat16)
    assert len(greedy((model, tokenizer), tokens=4)) == 4
    assert step_of(model).decoder.dtype == torch.bfloat16
