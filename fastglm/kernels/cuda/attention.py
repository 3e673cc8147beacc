"""Attention of a decode step over a cache, in Triton: queries of neighbouring heads that share keys form one tile.

A head of the cache is read once for up to `TILE` queries, in the format in which it is kept, up to the last place that
one of the queries sees. If there are too few heads to fill the card, several programs share the tokens of a head: each
writes its sums in fp32 with their largest score, and `finish` joins them, always in the same order (Dao et al.,
Flash-Decoding, 2023).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import PROGRAMS, card

TILE = 16  # the fewest rows that tensor cores multiply
TOKENS = 64  # keys of one step of a program
MOST_PARTS = 32


@triton.jit
def attention(q, keys, key_scales, values, value_scales, places, out, tops, sums, row_stride, head_stride,
              scale_row, scale_head, heads, queries, groups, size, width, factor, WIDTH: tl.constexpr,
              TILE: tl.constexpr, TOKENS: tl.constexpr, SPLIT: tl.constexpr, INT8: tl.constexpr):  # fmt: skip
    """Attend with `TILE` queries of heads that share keys. Grid: [rows · groups, heads · queries / groups / TILE,
    parts].

    q and out are [rows, heads, queries, width], or out [parts, rows, heads, queries, width] in fp32 with `tops` and
    `sums` [parts, rows, heads, queries] if programs share tokens. A head of keys and values is [size, width] with
    scales [size] in int8; the strides lead from row to row and from head to head. `places` is int64 [rows, queries].
    `factor` is log2 e / √width, for powers of two.
    """
    row, group, part = tl.program_id(0) // groups, tl.program_id(0) % groups, tl.program_id(2)
    shared = heads // groups * queries
    query = tl.program_id(1) * TILE + tl.arange(0, TILE)
    there = query < shared
    place = tl.load(places + row * queries + query % queries, mask=there, other=-1)
    column = tl.arange(0, WIDTH)
    inside = column < width
    at = (row * groups + group) * shared + query
    held = tl.load(q + at[:, None] * width + column[None, :], mask=there[:, None] & inside[None, :], other=0.0)
    DTYPE: tl.constexpr = q.dtype.element_ty
    start = row.to(tl.int64) * row_stride + group.to(tl.int64) * head_stride
    scale_start = row.to(tl.int64) * scale_row + group.to(tl.int64) * scale_head
    top = tl.full((TILE,), float("-inf"), tl.float32)
    total = tl.zeros((TILE,), tl.float32)
    found = tl.zeros((TILE, WIDTH), tl.float32)
    end = tl.minimum(tl.max(place, 0) + 1, size)
    for first in range(part * TOKENS, end, tl.num_programs(2) * TOKENS):
        token = first + tl.arange(0, TOKENS)
        seen = token < end
        vectors = start + token[:, None].to(tl.int64) * width + column[None, :]
        mask = seen[:, None] & inside[None, :]
        key = tl.load(keys + vectors, mask=mask, other=0).to(tl.float32).to(DTYPE)
        scores = tl.dot(held, tl.trans(key)) * factor
        if INT8:
            scores *= tl.load(key_scales + scale_start + token, mask=seen, other=0.0).to(tl.float32)[None, :]
        scores = tl.where(token[None, :] <= place[:, None], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        level = tl.where(higher == float("-inf"), 0.0, higher)
        kept, weight = tl.exp2(top - level), tl.exp2(scores - level[:, None])
        value = tl.load(values + vectors, mask=mask, other=0).to(tl.float32)
        if INT8:
            value *= tl.load(value_scales + scale_start + token, mask=seen, other=0.0).to(tl.float32)[:, None]
        found = found * kept[:, None] + tl.dot(weight.to(DTYPE), value.to(DTYPE))
        total = total * kept + tl.sum(weight, 1)
        top = higher
    mask = there[:, None] & inside[None, :]
    if SPLIT:
        at += part * tl.num_programs(0) * shared
        tl.store(tops + at, top, mask=there)
        tl.store(sums + at, total, mask=there)
        tl.store(out + at[:, None].to(tl.int64) * width + column[None, :], found, mask=mask)
    else:
        found = (found / total[:, None]).to(out.dtype.element_ty)
        tl.store(out + at[:, None] * width + column[None, :], found, mask=mask)


@triton.jit
def finish(parts, tops, sums, out, count, all, width, PARTS: tl.constexpr, WIDTH: tl.constexpr):
    """Join the sums of the programs that shared tokens. Grid: [all], the number of queries of all heads and rows."""
    query = tl.program_id(0)
    column, part = tl.arange(0, WIDTH), tl.arange(0, PARTS)
    inside, there = column < width, part < count
    top = tl.load(tops + part * all + query, mask=there, other=float("-inf"))
    by = tl.exp2(top - tl.max(top, 0))
    total = tl.sum(by * tl.load(sums + part * all + query, mask=there, other=0.0), 0)
    at = (part[:, None] * all + query) * width + column[None, :]
    held = tl.load(parts + at, mask=there[:, None] & inside[None, :], other=0.0)
    y = tl.sum(held * by[:, None], 0) / total
    tl.store(out + query * width + column, y.to(out.dtype.element_ty), mask=inside)


def launch(
    q: Tensor, keys: tuple[Tensor, Tensor | None], values: tuple[Tensor, Tensor | None], places: Tensor
) -> Tensor:
    """Attention of a decode step, [rows, heads, queries, width] like q. Launches on the current device.

    Args:
        keys, values: [rows, groups, tokens, width], a head without gaps; in int8 with scales [rows, groups, tokens, 1].
        places: int64 [rows, queries], contiguous: the last token that each query sees.
    """
    q, (rows, heads, queries, width) = q.contiguous(), q.shape
    (k, key_scale), (v, value_scale) = keys, values
    groups, size = k.shape[1:3]
    scales = (k, v) if key_scale is None or value_scale is None else (key_scale, value_scale)
    tiles = triton.cdiv(heads // groups * queries, TILE)
    parts = max(1, min(PROGRAMS * card(q.device)[1] // (rows * groups * tiles), triton.cdiv(size, TOKENS), MOST_PARTS))
    out, is_shared = torch.empty_like(q), parts > 1
    target = torch.empty(parts, *q.shape, device=q.device) if is_shared else out
    tops, sums = torch.empty(2, parts, *q.shape[:3], device=q.device) if is_shared else (out, out)
    padded = max(16, triton.next_power_of_2(width))
    attention[rows * groups, tiles, parts](
        q, k, scales[0], v, scales[1], places, target, tops, sums, *k.stride()[:2], *scales[0].stride()[:2], heads,
        queries, groups, size, width, 1.4426950408889634 * width**-0.5, WIDTH=padded, TILE=TILE, TOKENS=TOKENS,
        SPLIT=is_shared, INT8=key_scale is not None, num_warps=4,
    )  # fmt: skip
    if is_shared:
        all = rows * heads * queries
        finish[all,](target, tops, sums, out, parts, all, width, PARTS=triton.next_power_of_2(parts), WIDTH=padded)
    return out
