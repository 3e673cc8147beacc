"""A decode step in which Triton rotates and writes the cache: here PyTorch replaces the kernel."""

from collections.abc import Sequence

import pytest
import torch
from recorded import folder
from torch import Tensor

from fastglm.engine.compile.prepare import plain_step
from fastglm.engine.kv_cache import PromptRows, make_cache
from fastglm.kernels.cuda import fused as kernels
from fastglm.kernels.rotary import apply_rotary, rotate_pairs
from fastglm.models.chatglm import block
from fastglm.models.glm import block as glm_block
from fastglm.variants.load import load


def rotate(qkv: Tensor, rotation: tuple[Tensor, Tensor], held: Sequence[Tensor], places: Tensor) -> Tensor:
    """Do the work of `launch_rotate`."""
    width = qkv.shape[-1] // 3
    qk, v = qkv.split((2 * width, width), -1)
    q, k = apply_rotary(qk, rotation).transpose(1, 2).chunk(2, -1)
    keep(held, places, k.transpose(1, 2), v)
    return q


def rotate_shared(
    qkv: Tensor, groups: int, rotation: tuple[Tensor, Tensor], held: Sequence[Tensor], places: Tensor
) -> Tensor:
    """Do the work of `launch_rotate_pairs`."""
    heads = qkv.shape[2] - 2 * groups
    qk, v = qkv.split((heads + groups, groups), 2)
    q, k = rotate_pairs(qk, rotation).split((heads, groups), 2)
    keep(held, places, k, v)
    return q.transpose(1, 2)


def keep(held: Sequence[Tensor], places: Tensor, k: Tensor, v: Tensor) -> None:
    rows = torch.arange(len(places))[:, None]
    held[0][rows, :, places], held[1][rows, :, places] = k, v


@pytest.mark.parametrize("name", ["chatglm", "glm4"])
@torch.inference_mode()
def test_the_step_is_the_same_with_the_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = load(str(folder(name)), "fast", "cpu")
    last = [model.config.gmask_token_id, model.config.bos_token_id] if name == "chatglm" else [8, 9]
    prompt = torch.tensor([[5, 6, 7, *last]])
    found = []
    for fused in (False, True):
        for module in (block, glm_block):
            monkeypatch.setattr(module, "fuses", lambda x, fused=fused: fused and x.shape[1] == 1)
        monkeypatch.setattr(block, "launch_rotate", rotate)
        monkeypatch.setattr(glm_block, "launch_rotate_pairs", rotate_shared)
        monkeypatch.setattr("fastglm.kernels.cuda.fused.fuses", lambda _: False)
        cache, step, plan = make_cache(model), plain_step(model), model.plan(prompt)
        cache.resize(1, 64)
        step.decoder(prompt, plan.position_ids, plan.attention_mask, PromptRows(cache, [0], [0]), keep=1)
        cache.begin([0], [5], plan.next_position_ids(2))
        found.append([step(torch.tensor([[token]]), *cache.inputs(0, 1, 8))[0] for token in (8, 9, 10)])
        assert all(x.abs().sum() > 0 for x in cache.held)
    for plain, by_kernel in zip(*found, strict=True):
        torch.testing.assert_close(by_kernel, plain, rtol=1e-5, atol=1e-5)


def no_compiler(*_: object) -> str:
    raise RuntimeError("Failed to find C compiler.\nPlease specify it via CC.")


def test_kernels_that_do_not_build_are_named_once_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(kernels, "difference", no_compiler)
    kernels._works.cache_clear()
    assert not kernels._works(torch.device("cuda"), torch.float16)
    assert not kernels._works(torch.device("cuda"), torch.float16)
    kernels._works.cache_clear()
    said = "The decode step on cuda uses the slower kernels of PyTorch (RuntimeError: Failed to find C compiler.)."
    assert caplog.messages == [said]
