"""Attention over a cache by PyTorch's operator, or by a faster way if there is one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu import library
from .quantized_cache import Quantised


def attend(q: Tensor, k: Tensor | Quantised, v: Tensor | Quantised, mask: Tensor | None) -> Tensor:
    """softmax(q kᵀ / √head_dim + mask) v, [batch, heads, queries, head_dim].

    In bf16 on a processor without instructions for it, PyTorch's CPU operator took five times as long as the compiled
    sum; in fp32, as long.

    Args:
        q: [batch, heads, queries, head_dim].
        k, v: [batch, heads, tokens, head_dim].
        mask: broadcast to [batch, heads, queries, tokens], True (or 0.0) for attended tokens; as numbers if k is int8.
    """
    native = None
    if mask is not None and mask.dtype == q.dtype == torch.float32 and q.device.type == "cpu" and library.ready():
        native = mask.contiguous()
    if isinstance(k, Quantised) and isinstance(v, Quantised):
        if native is not None:
            return torch.ops.fastglm.int8_attention(q.contiguous(), *k, *v, native)
        k, v = k.whole(), v.whole()
    assert isinstance(k, Tensor)
    assert isinstance(v, Tensor)
    if native is not None and _is_cached(k) and _is_cached(v) and not q.requires_grad:
        return torch.ops.fastglm.float_attention(q.contiguous(), k, v, native)
    is_compiled = q.device.type == "cpu" and torch.compiler.is_compiling()
    if mask is None or q.dtype == torch.float32 or not is_compiled:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q.float().unsqueeze(3) * k.float().unsqueeze(2)).sum(-1) * q.shape[-1] ** -0.5 + mask
    return (scores.softmax(-1).unsqueeze(-1) * v.float().unsqueeze(2)).sum(3).to(q.dtype)


def _is_cached(x: Tensor) -> bool:
    """Tell whether the tokens of each head are contiguous, as in a cache; directly after the projection they are
    not.
    """
    return x.stride()[2:] == (x.shape[3], 1)
