"""Parts of a decode step for which PyTorch launches several kernels, as one Triton kernel each.

Operations after a linear map are fused with the map if its weights are packed: see `kernels.epilogue`.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor, nn

from ..rotary import apply_rotary
from .kernel import refusal

log = logging.getLogger(__name__)


def add_norm(x: Tensor, residual: Tensor, scale: float, norm: nn.LayerNorm) -> Tensor:
    """`norm(x + scale · residual)`: x and residual [..., width]."""
    if fuses(x) and x.dtype == norm.weight.dtype:
        return launch_add_norm(x, residual, scale, norm)
    return norm(torch.add(x, residual, alpha=scale))


def fuses(x: Tensor) -> bool:
    """Tell whether the kernels below can run on x: on a card where they work, and without gradients."""
    return x.is_cuda and not torch.is_grad_enabled() and _works(x.device, x.dtype)


def launch_add_norm(x: Tensor, residual: Tensor, scale: float, norm: nn.LayerNorm) -> Tensor:
    """`add_norm` as one kernel."""
    import triton

    from . import steps

    width = x.shape[-1]
    x, residual = x.contiguous(), residual.contiguous()
    out, block = torch.empty_like(x), triton.next_power_of_2(width)
    warps = max(1, min(block // 256, 8))
    with _on_device(x):
        steps.add_norm[(x.numel() // width,)](
            x, residual, norm.weight, norm.bias, out, scale, norm.eps, width, WIDTH=block, num_warps=warps
        )
    return out


def launch_rotate(qkv: Tensor, rotation: tuple[Tensor, Tensor], held: Sequence[Tensor], places: Tensor) -> Tensor:
    """Rotate q and k of a few tokens and write k and v into a cache, in one kernel.

    Args:
        qkv: [batch, tokens, heads, 3 * head_dim], q then k then v of each head.
        rotation: what `Rotary2D` returned.
        held: keys and values, [batch, heads, capacity, head_dim] each; in int8 each with its scales behind it,
            [batch, heads, capacity, 1].
        places: where in the capacity the tokens go, int64 [batch, tokens], contiguous.

    Returns:
        q, [batch, heads, tokens, head_dim].
    """
    import triton

    from . import steps

    batch, tokens, heads, width = qkv.shape
    width //= 3
    is_int8 = len(held) == 4
    keys, key_scales, values, value_scales = held if is_int8 else (held[0], held[0], held[1], held[1])
    cos, sin = (part.expand(batch, *part.shape[1:]).contiguous() for part in rotation)
    q = torch.empty(batch, heads, tokens, width, dtype=qkv.dtype, device=qkv.device)
    with _on_device(qkv):
        steps.rotate[heads, tokens, batch](
            qkv.contiguous(), cos, sin, places, q, keys, key_scales, values, value_scales, tokens, heads, keys.shape[2],
            width, WIDTH=triton.next_power_of_2(width), LEAST=torch.finfo(qkv.dtype).tiny, INT8=is_int8, num_warps=1,
        )  # fmt: skip
    return q


def _on_device(x: Tensor) -> AbstractContextManager[None]:
    """Make the device of x the current one, on which Triton launches. Tests run the kernels on a CPU, which has
    none.
    """
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


@cache
def _works(device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether the kernels build on a device and agree with PyTorch; warns once if they do not."""
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
    """Compare the kernels with PyTorch in fp32 on small random tensors; describes the difference, or returns None."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    def near(found: Tensor, exact: Tensor) -> bool:
        bound = 1e-2 if dtype == torch.bfloat16 else 2e-3
        return bool((found.float() - exact).norm() <= bound * exact.norm())

    norm = nn.LayerNorm(96).to(device, dtype)
    x, residual = random(3, 96), random(3, 96)
    found = launch_add_norm(x, residual, 7.5, norm)
    if not near(found, norm.float()(x.float() + 7.5 * residual.float())):
        return "the norm is wrong"
    qkv, angles = random(1, 2, 2, 3 * 32), random(1, 2, 1, 2, 8).repeat(1, 1, 1, 2, 2)
    rotation = angles.cos(), angles.sin()
    exact_q, exact_k = apply_rotary(qkv[..., :64].float(), (angles.float().cos(), angles.float().sin())).chunk(2, -1)
    held = [torch.zeros(1, 2, 4, 32, dtype=dtype, device=device) for _ in range(2)]
    q = launch_rotate(qkv, rotation, held, torch.tensor([[2, 1]], device=device))
    keys, values = (buffer[:, :, [2, 1]].transpose(1, 2) for buffer in held)
    good = near(q.transpose(1, 2), exact_q) and near(keys, exact_k) and torch.equal(values, qkv[..., 64:])
    return None if good else "the rotary positions are wrong"
