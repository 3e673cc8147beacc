"""Operations of a decode step between its linear maps, in Triton: norms with the residual, and rotary positions with
writing into the cache.
"""

import triton
import triton.language as tl


@triton.jit
def add_norm(x, residual, weight, bias, out, alpha, epsilon, width, WIDTH: tl.constexpr):
    """Layer norm of `x + alpha · residual`, [rows, width]. Grid: [rows]. `WIDTH` is a power of two, `width` or more."""
    column = tl.arange(0, WIDTH)
    inside = column < width
    at = tl.program_id(0).to(tl.int64) * width + column
    y = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    y += alpha * tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, y - tl.sum(y, 0) / width, 0.0)
    y = centred / tl.sqrt(tl.sum(centred * centred, 0) / width + epsilon)
    y = y * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    y += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, y.to(out.dtype.element_ty), mask=inside)


@triton.jit
def add_rms_norm(x, residual, weight, total, out, epsilon, width, WIDTH: tl.constexpr):
    """Write `total = x + residual` and its RMS norm, [rows, width]. Grid: [rows]. `WIDTH` is a power of two, `width` or
    more.
    """
    column = tl.arange(0, WIDTH)
    inside = column < width
    at = tl.program_id(0).to(tl.int64) * width + column
    y = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    y = (y + tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)).to(total.dtype.element_ty)
    tl.store(total + at, y, mask=inside)
    y = y.to(tl.float32)
    y *= tl.rsqrt(tl.sum(y * y, 0) / width + epsilon)
    y *= tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, y.to(out.dtype.element_ty), mask=inside)


@triton.jit
def keep(cache, scales, y, at, width, inside, column, DTYPE: tl.constexpr, LEAST: tl.constexpr, INT8: tl.constexpr):
    """Write a vector, [width], to its place in a cache; for an int8 cache as numbers in ±127 and their scale."""
    y = y.to(DTYPE)
    if INT8:
        scale = tl.maximum((tl.max(tl.abs(y.to(tl.float32)), 0) / 127).to(DTYPE).to(tl.float32), LEAST)
        y = ((y.to(tl.float32) / scale + 12582912.0) - 12582912.0).to(tl.int8)  # to the nearest, halves to even
        tl.store(scales + at, scale.to(DTYPE))
    tl.store(cache + at * width + column, y, mask=inside)


@triton.jit
def rotate(qkv, cos, sin, places, q, keys, key_scales, values, value_scales, tokens, heads, capacity, width,
           WIDTH: tl.constexpr, LEAST: tl.constexpr, INT8: tl.constexpr):  # fmt: skip
    """Rotate q and k of a few tokens and write k and v into a cache. Grid: [heads, tokens, batch].

    qkv is [batch, tokens, heads, 3 · width], q then k then v; cos and sin are `Rotary2D`'s, [batch, tokens, 2 · width];
    the caches are [batch, heads, capacity, width], in int8 with scales [batch, heads, capacity]; `places` is int64
    [batch, tokens]. `WIDTH` is a power of two, `width` or more; `LEAST` the least normal number.
    """
    head, token, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    column = tl.arange(0, WIDTH)
    inside = column < width
    DTYPE: tl.constexpr = q.dtype.element_ty
    half = width // 2
    partner = column // half * half + (column % half + half // 2) % half
    turn = (batch * tokens + token) * 2 * width
    c = tl.load(cos + turn + column, mask=inside, other=0.0).to(tl.float32)
    s = tl.load(sin + turn + column, mask=inside, other=0.0).to(tl.float32)
    start = qkv + ((batch * tokens + token) * heads + head) * (3 * width)
    turned_q = tl.load(start + column, mask=inside, other=0.0).to(tl.float32) * c
    turned_q += tl.load(start + partner, mask=inside, other=0.0).to(tl.float32) * s
    turned_k = tl.load(start + width + column, mask=inside, other=0.0).to(tl.float32) * c
    turned_k += tl.load(start + width + partner, mask=inside, other=0.0).to(tl.float32) * s
    v = tl.load(start + 2 * width + column, mask=inside, other=0.0)
    tl.store(q + ((batch * heads + head) * tokens + token) * width + column, turned_q.to(DTYPE), mask=inside)
    at = (batch * heads + head).to(tl.int64) * capacity + tl.load(places + batch * tokens + token)
    keep(keys, key_scales, turned_k, at, width, inside, column, DTYPE, LEAST, INT8)
    keep(values, value_scales, v, at, width, inside, column, DTYPE, LEAST, INT8)


@triton.jit
def rotate_pairs(qkv, cos, sin, places, q, keys, key_scales, values, value_scales, tokens, heads, groups, capacity,
                 width, WIDTH: tl.constexpr, LEAST: tl.constexpr, INT8: tl.constexpr):  # fmt: skip
    """Rotate neighbouring pairs of q and k of a few tokens and write k and v into a cache. Grid: [heads + groups,
    tokens, batch].

    qkv is [batch, tokens, heads + 2 · groups, width], all of q, of k and of v; cos and signed sin are [batch, tokens,
    width]; for the rest see `rotate`, whose caches have `groups` heads here.
    """
    head, token, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    column = tl.arange(0, WIDTH)
    inside = column < width
    DTYPE: tl.constexpr = q.dtype.element_ty
    turn = (batch * tokens + token) * width + column
    start = qkv + ((batch * tokens + token) * (heads + 2 * groups) + head) * width
    y = tl.load(start + column, mask=inside, other=0.0).to(tl.float32)
    y *= tl.load(cos + turn, mask=inside, other=0.0).to(tl.float32)
    partner = tl.load(start + (column ^ 1), mask=inside, other=0.0).to(tl.float32)
    y += partner * tl.load(sin + turn, mask=inside, other=0.0).to(tl.float32)
    if head < heads:
        tl.store(q + ((batch * heads + head) * tokens + token) * width + column, y.to(DTYPE), mask=inside)
    else:
        v = tl.load(start + groups * width + column, mask=inside, other=0.0)
        at = (batch * groups + head - heads).to(tl.int64) * capacity + tl.load(places + batch * tokens + token)
        keep(keys, key_scales, y, at, width, inside, column, DTYPE, LEAST, INT8)
        keep(values, value_scales, v, at, width, inside, column, DTYPE, LEAST, INT8)
