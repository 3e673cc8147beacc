"""Parts of a decode step for which PyTorch launches several kernels, as one Triton kernel each.

Operations after a linear map are fused with the map if its weights are packed: see `kernels.epilogue`.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..rotary import apply_rotary, rotate_pairs
from .kernel import refusal

log = logging.getLogger(__name__)


def add_norm(x: Tensor, residual: Tensor, scale: float, norm: nn.LayerNorm) -> Tensor:
    """`norm(x + scale · residual)`: x and residual [..., width]."""
    if fuses(x) and x.dtype == norm.weight.dtype:
        return launch_add_norm(x, residual, scale, norm)
    return norm(torch.add(x, residual, alpha=scale))


def add_rms_norm(x: Tensor, residual: Tensor, norm: nn.RMSNorm) -> tuple[Tensor, Tensor]:
    """`x + residual` and `norm` of it: x and residual [..., width]."""
    if fuses(x) and type(norm) is nn.RMSNorm and x.dtype == norm.weight.dtype:
        return launch_add_rms_norm(x, residual, norm)
    total = x + residual
    return total, norm(total)


def fuses(x: Tensor) -> bool:
    """Tell whether the kernels below can run on x: on a card where they work, and without gradients."""
    return x.is_cuda and not torch.is_grad_enabled() and _works(x.device, x.dtype)


def launch_add_norm(x: Tensor, residual: Tensor, scale: float, norm: nn.LayerNorm) -> Tensor:
    """`add_norm` as one kernel."""
    from . import steps

    x, residual, width = x.contiguous(), residual.contiguous(), x.shape[-1]
    out = torch.empty_like(x)
    with _on_device(x):
        steps.add_norm[(x.numel() // width,)](
            x, residual, norm.weight, norm.bias, out, scale, norm.eps, width, **_block(width)
        )
    return out


def launch_add_rms_norm(x: Tensor, residual: Tensor, norm: nn.RMSNorm) -> tuple[Tensor, Tensor]:
    """`add_rms_norm` as one kernel."""
    from . import steps

    x, residual, width = x.contiguous(), residual.contiguous(), x.shape[-1]
    total, out = torch.empty_like(x), torch.empty_like(x)
    with _on_device(x):
        steps.add_rms_norm[(x.numel() // width,)](
            x, residual, norm.weight, total, out, norm.eps, width, **_block(width)
        )
    return total, out


def _block(width: int) -> dict[str, int]:
    """The options of a program for a whole vector."""
    import triton

    block = triton.next_power_of_2(width)
    return {"WIDTH": block, "num_warps": max(1, min(block // 256, 8))}


def launch_rotate(qkv: Tensor, rotation: tuple[Tensor, Tensor], held: Sequence[Tensor], places: Tensor) -> Tensor:
    """Rotate q and k of a few tokens and write k and v into a cache, in one kernel.

    Args:
        qkv: [batch, tokens, heads, 3 * head_dim], q then k then v of each head.
        rotation: cos and signed sin, as `Rotary2D` returns them.
        held: keys and values, [batch, heads, capacity, head_dim] each; in int8 each with its scales behind it,
            [batch, heads, capacity, 1].
        places: the place of each token in the capacity, int64 [batch, tokens], contiguous.

    Returns:
        q, [batch, heads, tokens, head_dim].
    """
    import triton

    from . import steps

    batch, tokens, heads, width = qkv.shape
    width //= 3
    cos, sin = (part.expand(batch, *part.shape[1:]).contiguous() for part in rotation)
    q = torch.empty(batch, heads, tokens, width, dtype=qkv.dtype, device=qkv.device)
    with _on_device(qkv):
        steps.rotate[heads, tokens, batch](
            qkv.contiguous(), cos, sin, places, q, *_buffers(held), tokens, heads, held[0].shape[2], width,
            WIDTH=triton.next_power_of_2(width), LEAST=torch.finfo(qkv.dtype).tiny, INT8=len(held) == 4, num_warps=1,
        )  # fmt: skip
    return q


def launch_rotate_pairs(
    qkv: Tensor, groups: int, rotation: tuple[Tensor, Tensor], held: Sequence[Tensor], places: Tensor
) -> Tensor:
    """Rotate like `launch_rotate`, by `kernels.rotary.rotate_pairs`, where `groups` heads of k and v are shared.

    Args:
        qkv: [batch, tokens, heads + 2 * groups, head_dim], all of q, of k and of v.
        rotation: cos and signed sin, [batch, tokens, 1, head_dim] each.
    """
    import triton

    from . import steps

    batch, tokens, all, width = qkv.shape
    heads = all - 2 * groups
    cos, sin = (part.expand(batch, *part.shape[1:]).contiguous() for part in rotation)
    q = torch.empty(batch, heads, tokens, width, dtype=qkv.dtype, device=qkv.device)
    with _on_device(qkv):
        steps.rotate_pairs[heads + groups, tokens, batch](
            qkv.contiguous(), cos, sin, places, q, *_buffers(held), tokens, heads, groups, held[0].shape[2], width,
            WIDTH=triton.next_power_of_2(width), LEAST=torch.finfo(qkv.dtype).tiny, INT8=len(held) == 4, num_warps=1,
        )  # fmt: skip
    return q


def launch_attention(
    q: Tensor, keys: tuple[Tensor, Tensor | None], values: tuple[Tensor, Tensor | None], places: Tensor
) -> Tensor:
    """Run `attention.launch` on the device of q."""
    from .attention import launch

    with _on_device(q):
        return launch(q, keys, values, places)


def attends(q: Tensor) -> bool:
    """Tell whether the attention of a step can run as these kernels: on tensor cores."""
    return fuses(q) and torch.cuda.get_device_capability(q.device) >= (8, 0)


def _buffers(held: Sequence[Tensor]) -> Sequence[Tensor]:
    """Keys, their scales, values and their scales, with other tensors in place of missing scales."""
    return held if len(held) == 4 else (held[0], held[0], held[1], held[1])


def _on_device(x: Tensor) -> AbstractContextManager[None]:
    """Make the device of x the current one, on which Triton launches. Tests run the kernels on a CPU, which has
    none.
    """
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


@cache
def _works(device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether the kernels build on a device and agree with PyTorch; warn once if they do not."""
    reason = refusal(torch.cuda.get_device_capability(device), dtype)
    try:
        reason = reason or difference(device, dtype)
    except Exception as error:  # a kernel may fail to build in many ways
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if reason:
        log.warning("The decode step on %s uses the slower kernels of PyTorch (%s).", device, reason)
    return reason is None


@torch.no_grad()
def difference(device: torch.device, dtype: torch.dtype) -> str | None:
    """Compare the kernels with PyTorch in fp32 on small random tensors; describe the difference, or return None."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    def near(found: Tensor, exact: Tensor) -> bool:
        bound = 1e-2 if dtype == torch.bfloat16 else 2e-3
        return bool((found.float() - exact).norm() <= bound * exact.norm())

    x, residual = random(3, 96), random(3, 96)
    norm, rms = nn.LayerNorm(96).to(device, dtype), nn.RMSNorm(96, eps=1e-5).to(device, dtype)
    found, (total, normed) = launch_add_norm(x, residual, 7.5, norm), launch_add_rms_norm(x, residual, rms)
    good = near(found, norm.float()(x.float() + 7.5 * residual.float()))
    if not (good and near(total, x.float() + residual.float()) and near(normed, rms.float()(total.float()))):
        return "the norm is wrong"
    places = torch.tensor([[2, 1]], device=device)
    cos, sin = (random(1, 2, 1, 2, 16).repeat(1, 1, 1, 2, 1) for _ in range(2))  # the same for q and k
    qkv, turn = random(1, 2, 2, 3 * 32), (cos, sin)
    wanted = apply_rotary(qkv[..., :64].float(), (turn[0].float(), turn[1].float())).transpose(1, 2).chunk(2, -1)
    held = [torch.zeros(1, 2, 4, 32, dtype=dtype, device=device) for _ in range(2)]
    q = launch_rotate(qkv, turn, held, places)
    good = near(q, wanted[0]) and near(held[0][:, :, [2, 1]], wanted[1])
    good &= torch.equal(held[1][:, :, [2, 1]], qkv[..., 64:].transpose(1, 2))
    qkv, turn = random(1, 2, 6, 32), (random(1, 2, 1, 32), random(1, 2, 1, 32))  # four heads of queries share keys
    wanted = rotate_pairs(qkv[:, :, :5].float(), (turn[0].float(), turn[1].float())).transpose(1, 2).split((4, 1), 1)
    held = [x[:, :1].contiguous() for x in held]
    q = launch_rotate_pairs(qkv, 1, turn, held, places)
    good &= near(q, wanted[0]) and near(held[0][:, :, [2, 1]], wanted[1])
    if not good or not torch.equal(held[1][:, :, [2, 1]], qkv[:, :, 5:].transpose(1, 2)):
        return "the rotary positions are wrong"
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return None
    k, v = (random(1, 1, 70, 32) for _ in range(2))
    found = launch_attention(q, (k, None), (v, None), places + 67)
    mask = torch.arange(70, device=device) <= (places + 67)[:, None, :, None]
    exact = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), mask, enable_gqa=True)
    return None if near(found, exact) else "the attention is wrong"
