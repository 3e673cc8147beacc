"""The int8 KV cache: its content, its cost, and its use by every way to generate."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import CASE_IDS, folder
from transformers import AutoModel, DynamicCache

import fastglm
from fastglm.errors import CheckpointError, UsageError
from fastglm.evaluate.answers import generate
from fastglm.kernels.quantized_cache import pack, unpack
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.dynamic_cache import Int8Layer, make_cache

GOLDEN = str(folder("chatglm"))
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def states(tokens, seed=0):
    """Keys, or values, of one layer: [batch, heads, tokens, head_dim]."""
    return torch.randn(2, 3, tokens, 8, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(list(DTYPES.values())),
    head_dim=st.integers(1, 40),
    size=st.sampled_from([0.0, 1e-7, 1e-3, 1.0, 300.0]),
    seed=st.integers(0, 99),
)
def test_a_number_is_off_by_half_a_scale_at_most(dtype, head_dim, size, seed):
    x = (size * torch.randn(2, 3, 5, head_dim, generator=torch.Generator().manual_seed(seed))).to(dtype)
    packed = pack(x)
    assert (packed.dtype, packed.shape) == (torch.int8, (2, 3, 5, head_dim + dtype.itemsize))
    numbers, scale = packed[..., :head_dim].double(), packed[..., head_dim:].contiguous().view(dtype).double()
    assert numbers.abs().max() <= 127
    assert bool(((numbers * scale - x.double()).abs() <= scale / 2 * (1 + 1e-6)).all())
    assert bool((scale * 126 <= x.double().abs().amax(-1, keepdim=True).clamp(min=127 * torch.finfo(dtype).tiny)).all())
    found = unpack(packed, dtype)
    assert (found.dtype, found.shape) == (dtype, x.shape)
    rounding = torch.finfo(dtype).eps * x.double().abs() + torch.finfo(dtype).smallest_normal
    assert bool(((found.double() - x.double()).abs() <= scale / 2 * (1 + 1e-6) + 2 * rounding).all())


def test_a_layer_does_all_that_the_dynamic_one_does():
    layer, plain = Int8Layer(), DynamicCache()
    k, v = states(5), states(5, 1)
    assert all(map(torch.equal, layer.update(k, v), (k, v)))  # attention uses a prompt without rounding
    plain.update(k, v, 0)
    more = states(1, 2), states(1, 3)
    found, wanted = layer.update(*more), plain.update(*more, 0)
    for x, y in zip(found, wanted, strict=True):
        assert x.shape == y.shape
        assert (x - y).abs().max() <= y.abs().max() / 127 / 2
    assert layer.get_seq_length() == 6
    assert layer.keys.dtype == torch.int8
    layer.reorder_cache(torch.tensor([1, 0]))
    assert torch.equal(unpack(layer.keys, torch.float32), found[0].flip(0))
    layer.batch_repeat_interleave(2)
    layer.batch_select_indices(torch.tensor([0, 3]))
    layer.crop(-2)
    assert torch.equal(unpack(layer.values, torch.float32), found[1].flip(0)[:, :, :4])
    assert layer.get_seq_length() == 4


@pytest.mark.parametrize(("dtype", "share"), [("float16", (128 + 2) / 256), ("float32", (128 + 4) / 512)])
def test_its_bytes_are_half_of_fp16s_and_a_quarter_of_fp32s(dtype, share):
    whole, packed = ChatGLM6BConfig(), ChatGLM6BConfig(cache_format="int8")
    assert whole.cache_bytes(DTYPES[dtype]) == 28 * 2 * 4096 * DTYPES[dtype].itemsize
    assert packed.cache_bytes(DTYPES[dtype]) == share * whole.cache_bytes(DTYPES[dtype])


@pytest.mark.parametrize(("variant", "dtype"), [("original", "float32"), ("fast", "float16"), ("int8", "bfloat16")])
def test_answers_with_it(variant, dtype):
    settings = {"max_new_tokens": 4, "do_sample": False, "ignore_eos": True}
    model, tokenizer = fastglm.load(GOLDEN, variant, "cpu", dtype)
    packed, _ = fastglm.load(GOLDEN, variant, "cpu", dtype, cache="int8")
    assert (model.fastglm.cache, packed.fastglm.cache) == ("auto", "int8")
    *_, whole = fastglm.stream(model, tokenizer, "你好", **settings)
    *_, last = fastglm.stream(packed, tokenizer, "你好", **settings)
    assert last.tokens == 4
    size = DTYPES[dtype].itemsize
    assert last.cache_memory / whole.cache_memory == (8 + size) / (8 * size)  # heads of the small model are 8 wide
    outputs = packed(torch.tensor([CASE_IDS]), use_cache=True)
    assert outputs.past_key_values.layers[0].keys.dtype == torch.int8


def test_the_demo_model_answers_the_same():
    texts = set()
    for variant, cache in (("fast", "auto"), ("fast", "int8"), ("original", "int8")):
        model, tokenizer = fastglm.load("demo", variant, "cpu", cache=cache)
        *_, last = fastglm.stream(model, tokenizer, "What is the capital of France?", do_sample=False)
        texts.add(last.text)
    assert len(texts) == 1
    assert "Paris" in texts.pop()


@torch.inference_mode()
def test_its_divergence_is_small():
    model, tokenizer = fastglm.load("demo", "original", "cpu")
    ids = tokenizer("[Round 0]\n问：法国的首都是哪里？\n答：法国的首都是巴黎。")["input_ids"]
    plan, cut = model.plan(torch.tensor([ids])), len(ids) // 2
    found = []
    for cache_format in (None, "int8"):
        model.config.cache_format = cache_format
        cache = make_cache(model.config)
        for part in (slice(0, cut), slice(cut, None)):
            logits = model(
                torch.tensor([ids[part]]),
                position_ids=plan.position_ids[:, :, part],
                attention_mask=plan.attention_mask[:, :, part, : cut if part.start == 0 else None],
                past_key_values=cache,
            ).logits[0]
        found.append(logits.log_softmax(-1))
    divergence = (found[0].exp() * (found[0] - found[1])).sum(-1).mean()
    assert 0 < divergence < 1e-4


def test_a_padded_batch_answers_as_alone():
    model, _ = fastglm.load(GOLDEN, "original", "cpu", cache="int8")
    prompts = [CASE_IDS, CASE_IDS[-6:]]
    alone = [generate(model, [prompt], 8)[0] for prompt in prompts]
    assert generate(model, prompts, 8) == alone


def test_from_pretrained_takes_it_and_keeps_what_a_caller_asks_for():
    model = AutoModel.from_pretrained(GOLDEN, cache_format="int8")
    ids = torch.tensor([CASE_IDS])
    found = model.generate(ids, max_new_tokens=2, do_sample=False, return_dict_in_generate=True)
    assert found.past_key_values.layers[0].keys.dtype == torch.int8
    own = DynamicCache()
    model.generate(ids, max_new_tokens=2, do_sample=False, past_key_values=own)
    assert own.layers[0].keys.dtype == model.dtype


def test_bad_formats_are_named():
    with pytest.raises(UsageError, match="Unknown cache 'int4'; known are auto, int8"):
        fastglm.load(GOLDEN, cache="int4")
    with pytest.raises(CheckpointError, match="cache_format is 'int4'; known is int8"):
        ChatGLM6BConfig(cache_format="int4").check()
