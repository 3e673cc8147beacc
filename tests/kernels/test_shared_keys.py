"""Attention in which heads of queries share heads of the cache: against float64, with poison behind each row."""

import pytest
import torch
from products import random

from fastglm.kernels.attention import Reach, attend
from fastglm.kernels.cpu import library
from fastglm.kernels.quantized_cache import quantise

HEADS, CAPACITY = 32, 139

pytestmark = pytest.mark.skipif(not library.written_for(), reason="written for Linux on x86-64 with AVX2")


def operands(groups, width, lengths, queries, is_int8, heads=HEADS):
    """Queries, keys and values, the reach of the queries, and the exact result."""
    rows = len(lengths)
    held = [random(rows * groups * CAPACITY, width, seed=n).view(rows, groups, CAPACITY, width) for n in (1, 2)]
    k, v = (quantise(each) if is_int8 else each for each in held)
    whole = [x.numbers * x.scale.double() if is_int8 else x.double() for x in (k, v)]
    for buffer in (k.scale, v.scale) if is_int8 else (k, v):
        for row, length in zip(buffer, lengths, strict=True):
            row[:, length:] = torch.nan
    q = random(rows * heads * queries, width).view(rows, heads, queries, width)
    places = torch.tensor(lengths)[:, None] - queries + torch.arange(queries)
    mask = torch.where(torch.arange(CAPACITY) <= places[..., None], 0.0, -torch.inf)[:, None]
    exact = torch.nn.functional.scaled_dot_product_attention(
        q.double(), *whole, attn_mask=mask.double(), enable_gqa=True
    )
    return q, k, v, Reach(places, mask), exact


@pytest.mark.usefixtures("native", "poisoned")
@pytest.mark.parametrize("groups", [1, 2, 4, HEADS])
@pytest.mark.parametrize(
    ("width", "lengths", "queries"),
    [(128, (CAPACITY,), 1), (20, (33, 5, CAPACITY), 2), (8, (70,), 4), (64, (70, 5, 34), 1), (136, (CAPACITY,), 4)],
)
@pytest.mark.parametrize("is_int8", [False, True], ids=["fp32", "int8"])
def test_attention_with_shared_keys_agrees_with_float64(groups, width, lengths, queries, is_int8):
    q, k, v, reach, exact = operands(groups, width, lengths, queries, is_int8)
    assert (attend(q, k, v, reach) - exact).norm() < 1e-6 * exact.norm()


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("is_int8", [False, True], ids=["fp32", "int8"])
def test_neither_threads_nor_rows_beside_it_change_a_result(is_int8):
    q, k, v, reach, _ = operands(2, 24, (70, 139, 1), 1, is_int8, heads=14)  # seven heads: not all of them by fours
    found, before = attend(q, k, v, reach), torch.get_num_threads()
    part = lambda x: type(x)(*(each[1:2] for each in x)) if is_int8 else x[1:2]  # noqa: E731
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            assert torch.equal(attend(q, k, v, reach), found)
            alone = attend(q[1:2].contiguous(), part(k), part(v), Reach(*(x[1:2] for x in reach)))
            assert torch.equal(alone, found[1:2])
    finally:
        torch.set_num_threads(before)
