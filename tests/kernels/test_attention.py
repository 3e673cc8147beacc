"""Attention written in PyTorch equals the operator's."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fastglm.kernels.attention import attend, by_groups


@pytest.mark.parametrize(("dtype", "off"), [(torch.bfloat16, 0.02), (torch.float16, 0.003), (torch.float32, 1e-5)])
@pytest.mark.parametrize("queries", [1, 3])
def test_the_compiled_product_is_that_of_the_operator(monkeypatch, dtype, off, queries):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 4, n, 16).to(dtype) for n in (queries, 40, 40))
    mask = torch.where(torch.arange(40) <= torch.arange(30, 30 + queries)[:, None], 0.0, -torch.inf)[None, None]
    wanted = scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask.double())
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found = attend(q, k, v, mask.to(dtype))
    assert found.dtype == dtype
    assert (found.double() - wanted).abs().max() <= off * wanted.abs().max()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_one_head_of_keys_at_a_time_is_the_same(groups):
    torch.manual_seed(0)
    q, (k, v) = torch.randn(2, 8, 5, 16), torch.randn(2, 2, groups, 9, 16)
    mask = torch.rand(2, 1, 5, 9) > 0.3
    mask[..., 0] = True
    wanted = scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(by_groups(q, k, v, mask), wanted)
