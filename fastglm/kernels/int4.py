"""int4 weights in groups along the input: `w ≈ weight · scale + zero`, two per byte.

Columns 2j and 2j+1 share a byte, the even one in the high nibble, both signed. This is the published `chatglm-6b-int4`
layout, which has one scale per row and no zero. Widths that the group does not divide are padded.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .format import Parts, WeightFormat
from .layout import int4_layout

GROUPS = (32, 64, 128, 256)


class Int4(WeightFormat):
    """int4 in groups of `group` columns with a scale and a zero each; with `group` None the published layout."""

    def __init__(self, group: int | None = 128) -> None:
        self.group = group
        self.layout = int4_layout(group)
        self.limits = (-8, 7)

    def pack(self, weight: Tensor, grid: Parts | None = None) -> Parts:
        weight, grid = weight.float(), grid or self.grid(weight)
        if self.group is None:
            return self.pack_with(quantise(weight, grid["weight_scale"].float()[:, None], 0.0), grid)
        scale, zero = (grid[name].float()[..., None] for name in ("weight_scale", "weight_zero"))
        return self.pack_with(quantise(self._grouped(weight), scale, zero).flatten(1), grid)

    def grid(self, weight: Tensor) -> Parts:
        weight = weight.float()
        if self.group is None:
            return {"weight_scale": (weight.abs().amax(1) / 7).clamp(min=1e-7).half()}
        grouped = self._grouped(weight)
        low, high = grouped.amin(2), grouped.amax(2)
        # Scale and zero are rounded to their stored dtype before the weights are, so that packing uses the final
        # values.
        scale = ((high - low) / 15).clamp(min=1e-12).bfloat16()
        return {"weight_scale": scale, "weight_zero": (low + 8 * scale.float()).bfloat16()}

    def scale_and_zero(self, grid: Parts, columns: Tensor) -> tuple[Tensor, Tensor]:
        if self.group is None:
            scale = grid["weight_scale"].float()[:, None].expand(-1, len(columns))
            return scale, torch.zeros_like(scale)
        scale, zero = (grid[name][:, columns // self.group].float() for name in ("weight_scale", "weight_zero"))
        return scale, zero

    def pooled(self, values: Tensor) -> Tensor:
        if self.group is None:
            return values.sum(1)
        return F.pad(values, (0, -values.shape[1] % self.group)).unflatten(1, (-1, self.group)).sum(2)

    def pack_with(self, numbers: Tensor, grid: Parts) -> Parts:
        return {"weight": join(self._padded(numbers)), **grid}

    def _padded(self, matrix: Tensor) -> Tensor:
        """Pad by repeating the last column, which does not widen the range of the last group."""
        missing = -matrix.shape[1] % (self.group or 1)
        return torch.cat((matrix, matrix[:, -1:].expand(-1, missing)), 1) if missing else matrix

    def _grouped(self, matrix: Tensor) -> Tensor:
        """Reshape to [rows, groups, group]."""
        return self._padded(matrix).unflatten(1, (-1, self.group))

    def unpack(self, parts: Parts, columns: int) -> Tensor:
        numbers = split(parts["weight"]).float()
        if self.group is None:
            return numbers * parts["weight_scale"].float()[:, None]
        grouped = numbers.unflatten(1, (-1, self.group))
        weight = torch.addcmul(
            parts["weight_zero"].float()[..., None], grouped, parts["weight_scale"].float()[..., None]
        )
        return weight.flatten(1)[:, :columns]

    def operator_group(self, columns: int) -> int:
        """The group for PyTorch's operators: one scale per row is repeated over the largest group that fits."""
        if self.group:
            return self.group
        return next((group for group in reversed(GROUPS) if columns % group == 0), 32)

    def scales_and_zeros(self, parts: Parts, rows: int, columns: int) -> Tensor:
        """Scales and zeros as [columns / group, rows, 2] in bf16, the layout of PyTorch's operators."""
        groups = -(-columns // self.operator_group(columns))
        if self.group is None:
            scale = parts["weight_scale"].bfloat16()[:, None].expand(-1, groups)
            zero = torch.zeros_like(scale)
        else:
            scale, zero = parts["weight_scale"], parts["weight_zero"]
        return torch.stack((scale.t(), zero.t()), 2).contiguous()


def quantise(weight: Tensor, scale: Tensor, zero: Tensor | float) -> Tensor:
    """Round to the nearest of -8 … 7, int8."""
    return ((weight - zero) / scale).round().clamp(-8, 7).to(torch.int8)


def join(numbers: Tensor) -> Tensor:
    """Pack int8 numbers in -8 … 7, [rows, columns], two per byte: → [rows, columns / 2]."""
    return (numbers[:, ::2] << 4) | (numbers[:, 1::2] & 15)


def split(packed: Tensor) -> Tensor:
    """Unpack two numbers per byte, [rows, columns / 2] → int8 in -8 … 7, [rows, columns]."""
    return torch.stack((packed >> 4, (packed << 4) >> 4), 2).flatten(1)
