"""Weights in huge pages: where the system gives them, with the same answers, and no second copy of the model."""

import re
from pathlib import Path

import pytest
import torch

from fastglm.engine.kv_cache import KVCache
from fastglm.kernels import huge_pages
from fastglm.kernels.huge_pages import PAGE, SMALLEST
from fastglm.kernels.packed import PackedWeight
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.loading import build, fill, weights_memory
from fastglm.models.random_weights import random_tensors
from fastglm.system.memory import MemoryMeter

CPU = torch.device("cpu")
IDS = {"gmask_token_id": 401, "bos_token_id": 402, "eos_token_id": 403, "mask_token_id": 404, "pad_token_id": 3}
SIZES = {"num_layers": 1, "hidden_size": 1024, "num_attention_heads": 8, "head_dim": 128, "inner_hidden_size": 8192}
given = pytest.mark.skipif(not huge_pages.are_given(), reason="this system gives no huge pages on request")


def huge_bytes(tensor):
    """The bytes in huge pages of the mapping that holds a tensor."""
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        begin, end = (int(address, 16) for address in mapping.split()[0].split("-"))
        if begin <= tensor.data_ptr() < end:
            return 1024 * int(re.search(r"AnonHugePages: +(\d+)", mapping)[1])
    raise AssertionError("no such mapping")


def filled(weight_format, in_huge_pages):
    config = ChatGLM6BConfig(vocab_size=2048, weight_format=weight_format, **SIZES, **IDS)
    model = build(config, CPU, torch.float32, exact=False)
    fill(model, random_tensors(model, CPU, torch.float32), CPU, torch.float32, None, in_huge_pages=in_huge_pages)
    return model


def large_tensors(model):
    packed = [tensor for module in model.modules() if isinstance(module, PackedWeight) for tensor in module._held]
    return [tensor for tensor in (*model.parameters(), *packed) if tensor.nbytes >= SMALLEST]


@given
def test_a_large_tensor_lies_in_huge_pages():
    tensor = huge_pages.empty((9, PAGE // 2), torch.float16, CPU).fill_(1)
    assert tensor.data_ptr() % PAGE == 0
    assert huge_bytes(tensor) >= 8 * PAGE
    assert torch.equal(huge_pages.moved(tensor), tensor)


@given
def test_the_cache_lies_in_huge_pages_after_it_has_grown():
    cache = KVCache([8], 128, torch.float32, CPU)
    cache.resize(1, 2048)
    cache.held[0][0, :, :2048] = 7
    cache.resize(1, 4096)
    assert [huge_bytes(tensor) for tensor in cache.held] == [tensor.nbytes for tensor in cache.held]
    assert cache.held[0][0, :, :2048].eq(7).all()
    assert not cache.held[0][0, :, 2048:].any()


@given
@pytest.mark.parametrize("weight_format", [None, "int8"])
def test_weights_in_huge_pages_give_the_same_products(weight_format):
    plain, huge = filled(weight_format, False), filled(weight_format, True)
    assert large_tensors(huge)
    assert all(huge_bytes(tensor) >= tensor.nbytes // PAGE * PAGE for tensor in large_tensors(huge))
    assert not any(tensor.data_ptr() % PAGE == 0 for tensor in large_tensors(plain))
    assert weights_memory(huge) == weights_memory(plain)
    x = torch.randn(1, SIZES["hidden_size"], generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found, wanted = (model.transformer.layers[0].mlp.dense_h_to_4h(x) for model in (huge, plain))
    assert torch.equal(found, wanted)


@given
def test_loading_needs_room_for_the_model_and_one_tensor():
    filled(None, True)  # tables of the first use
    meter = MemoryMeter("cpu", 0)
    assert meter.reset_peak()
    before = meter.read().current
    model = filled(None, True)
    largest = max(tensor.nbytes for tensor in large_tensors(model))
    assert meter.read().peak - before <= weights_memory(model) + 2 * largest


@pytest.mark.parametrize("setting", ["always madvise [never]\n", None])
def test_without_huge_pages_nothing_is_copied(setting, monkeypatch, tmp_path):
    if setting:
        (tmp_path / "enabled").write_text(setting)
    monkeypatch.setattr(huge_pages, "SETTING", tmp_path / "enabled")
    monkeypatch.setattr(huge_pages, "are_given", huge_pages.are_given.__wrapped__)
    tensor = torch.ones(SMALLEST, dtype=torch.int8)
    assert huge_pages.moved(tensor) is tensor
    assert huge_pages.empty((3, SMALLEST), torch.int8, CPU).shape == (3, SMALLEST)


def test_small_tensors_and_tensors_elsewhere_stay_where_they_are():
    small, elsewhere = torch.ones(9), torch.empty(SMALLEST, device="meta")
    assert huge_pages.moved(small) is small
    assert huge_pages.moved(elsewhere) is elsewhere
