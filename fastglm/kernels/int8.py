"""int8 weights with one scale per output row: `w ≈ weight · scale`, also the published `chatglm-6b-int8` layout."""

import torch
from torch import Tensor

from .format import Parts, WeightFormat
from .layout import int8_layout


class Int8(WeightFormat):
    """int8 per output channel. Scales are bf16, so that every kernel multiplies by the same number; the published ones
    are fp16.
    """

    limits = (-127, 127)

    def __init__(self, scale_dtype: torch.dtype = torch.bfloat16) -> None:
        self.scale_dtype = scale_dtype
        self.layout = int8_layout(str(scale_dtype).removeprefix("torch."))

    def pack(self, weight: Tensor, grid: Parts | None = None) -> Parts:
        weight, grid = weight.float(), grid or self.grid(weight)
        numbers = (weight / grid["weight_scale"].float()[:, None]).round().clamp(*self.limits)
        return self.pack_with(numbers.to(torch.int8), grid)

    def grid(self, weight: Tensor) -> Parts:
        least = 1e-7 if self.scale_dtype == torch.float16 else 1e-12  # never 0 in this dtype, for rows of zeros
        return {"weight_scale": (weight.float().abs().amax(1) / 127).clamp(min=least).to(self.scale_dtype)}

    def scale_and_zero(self, grid: Parts, columns: Tensor) -> tuple[Tensor, Tensor]:
        scale = grid["weight_scale"].float()[:, None].expand(-1, len(columns))
        return scale, torch.zeros_like(scale)

    def pooled(self, values: Tensor) -> Tensor:
        return values.sum(1)

    def pack_with(self, numbers: Tensor, grid: Parts) -> Parts:
        return {"weight": numbers, **grid}

    def unpack(self, parts: Parts, columns: int) -> Tensor:
        return parts["weight"].float() * parts["weight_scale"].float()[:, None]
