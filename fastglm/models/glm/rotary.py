"""Rotary positions of GLM: neighbouring numbers of each head are pairs, and the first ones are rotated: half of them as
published, all in GLM-Edge.

Su et al., arXiv 2104.09864, as published.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .facts import GLMFacts

Rotation = tuple[Tensor, Tensor]  # cos and signed sin, [batch, sequence, 1, head_dim] each


class Rotary:
    """Converts positions into rotations.

    ChatGLM2 and CodeGeeX2 were trained with the product of position and frequency in the model's dtype: in fp16 the
    positions above 2,048 are rounded to even ones, and so on. Their angles are therefore looked up in a table, which no
    compiler makes more exact. `rope_ratio` divides positions in ChatGLM2, and multiplies the base in others.
    """

    def __init__(self, config: GLMFacts) -> None:
        self.head_dim, self.width = int(config.head_dim or 0), config.rotated
        self.is_exact = config.rules.exact_angles
        self.base, self.divisor = config.base_and_divisor
        self.positions = 0 if self.is_exact else config.context + 1
        self._tables: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def __call__(self, position_ids: Tensor, length: int, dtype: torch.dtype) -> Rotation:
        """cos and signed sin for `kernels.rotary.rotate_pairs`.

        Args:
            position_ids: [batch, 1, sequence].
            length: an upper bound of every position, plus one; 0 if they are known to be within the context.
            dtype: of the activations.
        """
        if self.is_exact or dtype == torch.float64:
            angles = self._angles(position_ids[:, 0].to(torch.promote_types(dtype, torch.float32)))
        else:
            angles = self._table(position_ids.device, dtype, length)[position_ids[:, 0]]
        rest = (0, self.head_dim - self.width)
        cos, sin = angles.cos(), angles.sin()
        cos = F.pad(cos.repeat_interleave(2, -1), rest, value=1.0)
        # (x1, x2) becomes (x1 cos - x2 sin, x2 cos + x1 sin)
        sin = F.pad(torch.stack((-sin, sin), -1).flatten(-2), rest)
        return cos.to(dtype)[:, :, None], sin.to(dtype)[:, :, None]

    def _angles(self, positions: Tensor) -> Tensor:
        """Products of positions [...] and frequencies in the dtype of the positions, [..., pairs]."""
        exponents = torch.arange(0, self.width, 2, dtype=positions.dtype) / self.width
        frequencies = (1.0 / self.base**exponents).to(positions.device)
        return (positions / self.divisor)[..., None] * frequencies

    def _table(self, device: torch.device, dtype: torch.dtype, length: int) -> Tensor:
        """Angles of all positions in fp32, [positions, pairs], after their product in `dtype`."""
        table = self._tables.get((device, dtype))
        if table is None or len(table) < length:
            self.positions = max(self.positions, length)
            table = self._tables[device, dtype] = (
                self._angles(torch.arange(self.positions, dtype=dtype)).float().to(device)
            )
        return table
