"""Attention over a cache by PyTorch's operator, or by a faster way if there is one."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu import library
from .cuda.fused import attends, launch_attention
from .quantized_cache import Quantised


class Reach(NamedTuple):
    """The tokens of a cache that the queries of a decode step see: those of their row up to their own place."""

    places: Tensor  # [rows, queries], int64
    mask: Tensor  # [rows, 1, queries, window], 0.0 where seen, else -inf: the same for operators that take a mask


def attend(q: Tensor, k: Tensor | Quantised, v: Tensor | Quantised, mask: Tensor | Reach | None) -> Tensor:
    """softmax(q kᵀ / √head_dim + mask) v, [batch, heads, queries, head_dim].

    In bf16, on a processor without instructions for it, PyTorch's CPU operator took five times as long as the compiled
    sum; in fp32 both took the same time. If k and v have fewer heads than q, neighbouring heads of q share one of them.

    Args:
        q: [batch, heads, queries, head_dim].
        k, v: [batch, kv_heads, tokens, head_dim].
        mask: broadcast to [batch, heads, queries, tokens], True (or 0.0) where attended; a `Reach` for a cache.
    """
    if isinstance(mask, Reach):
        if q.dtype == torch.float32 and q.device.type == "cpu" and library.ready():
            return _native(q.contiguous(), k, v, mask.places)
        (keys, key_scale), (values, value_scale) = _with_scale(k), _with_scale(v)
        if (key_scale is not None or keys.shape[1] < q.shape[1]) and attends(q):
            return launch_attention(q, (keys, key_scale), (values, value_scale), mask.places)
        mask = mask.mask
    k, v = (x.whole() if isinstance(x, Quantised) else x for x in (k, v))
    is_compiled = q.device.type == "cpu" and torch.compiler.is_compiling()
    if mask is not None and q.is_cuda and q.shape[1] != k.shape[1]:
        return by_groups(q, k, v, mask)
    if mask is None or q.dtype == torch.float32 or not is_compiled:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
    shared = q.shape[1] // k.shape[1]
    k, v = (x.float().repeat_interleave(shared, 1) if shared > 1 else x.float() for x in (k, v))
    scores = (q.float().unsqueeze(3) * k.unsqueeze(2)).sum(-1) * q.shape[-1] ** -0.5 + mask
    return (scores.softmax(-1).unsqueeze(-1) * v.unsqueeze(2)).sum(3).to(q.dtype)


def by_groups(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """`attend`, one head of keys at a time: PyTorch's kernel for masks, which keeps no scores, knows no shared heads.

    Its way for shared heads would hold scores of all heads in fp32, 0.5 GB for 32 heads, 512 queries and 8,192 tokens.
    """
    shared = q.shape[1] // k.shape[1]
    groups = zip(q.split(shared, 1), k.split(1, 1), v.split(1, 1), strict=True)
    found = [
        F.scaled_dot_product_attention(q, k.expand(-1, shared, -1, -1), v.expand(-1, shared, -1, -1), attn_mask=mask)
        for q, k, v in groups
    ]
    return torch.cat(found, 1)


def _with_scale(x: Tensor | Quantised) -> tuple[Tensor, Tensor | None]:
    return (x.numbers, x.scale) if isinstance(x, Quantised) else (x, None)


def _native(q: Tensor, k: Tensor | Quantised, v: Tensor | Quantised, places: Tensor) -> Tensor:
    if isinstance(k, Quantised) and isinstance(v, Quantised):
        return torch.ops.fastglm.int8_attention(q, *k, *v, places)
    return torch.ops.fastglm.float_attention(q, k, v, places)
