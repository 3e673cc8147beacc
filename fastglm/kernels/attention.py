"""Attention over a cache: PyTorch's operator, or another way where that is faster."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu import library
from .quantized_cache import Quantised


def attend(q: Tensor, k: Tensor | Quantised, v: Tensor | Quantised, mask: Tensor | None) -> Tensor:
    """softmax(q kᵀ / √head_dim + mask) v, [batch, heads, queries, head_dim].

    PyTorch's CPU operator was measured to take five times as long as the compiled sum in bf16 on a processor without
    instructions for it, and as long in fp32.

    Args:
        q: [batch, heads, queries, head_dim].
        k, v: [batch, heads, tokens, head_dim].
        mask: broadcast to [batch, heads, queries, tokens], True (or 0.0) where attended; as numbers where k is int8.
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
    """Whether the tokens of each head lie one behind the other, as in a cache; as they are projected they do not."""
    return x.stride()[2:] == (x.shape[3], 1)
