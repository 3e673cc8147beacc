"""The rotation of queries and keys by their positions."""

import torch
from torch import Tensor


def apply_rotary(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate q and k together.

    Args:
        x: [batch, sequence, heads, 2 * head_dim], q then k of each head.
        rotation: cos and signed sin, [batch, sequence, 1, 4, head_dim / 2] each, as `Rotary2D` returns them.

    Returns:
        the same shape.
    """
    cos, sin = rotation
    parts = x.unflatten(-1, (4, -1))
    swapped = parts.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
    return torch.addcmul(parts * cos, swapped, sin).flatten(-2)


def rotate_pairs(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate neighbouring pairs of numbers.

    Both products are rounded before their sum, as published: logits in half precision are then equal to the bit.

    Args:
        x: [batch, sequence, heads, head_dim].
        rotation: cos and signed sin, [batch, sequence, 1, head_dim] each: (x1, x2) becomes (x1 cos - x2 sin,
            x2 cos + x1 sin).

    Returns:
        the same shape.
    """
    cos, sin = rotation
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return x * cos + swapped * sin
