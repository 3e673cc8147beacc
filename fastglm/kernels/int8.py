"""int8 weights with one scale per output row: `w ≈ weight · scale`, also the published `chatglm-6b-int8` layout."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .format import Kernel, Parts, Spec, WeightFormat
from .probe import works


class Int8(WeightFormat):
    """int8 per output channel. Scales are bf16 so that every kernel multiplies by the same number; published: fp16."""

    name = "int8"
    limits = (-127, 127)

    def __init__(self, scale_dtype: torch.dtype = torch.bfloat16) -> None:
        self.scale_dtype = scale_dtype

    def spec(self, rows: int, columns: int) -> Spec:
        return {"weight": ((rows, columns), torch.int8), "weight_scale": ((rows,), self.scale_dtype)}

    def pack(self, weight: Tensor) -> Parts:
        weight, grid = weight.float(), self.grid(weight)
        numbers = (weight / grid["weight_scale"].float()[:, None]).round().clamp(*self.limits)
        return self.pack_with(numbers.to(torch.int8), grid)

    def grid(self, weight: Tensor) -> Parts:
        return {"weight_scale": (weight.float().abs().amax(1) / 127).clamp(min=1e-12).to(self.scale_dtype)}

    def scale_and_zero(self, grid: Parts, columns: Tensor) -> tuple[Tensor, Tensor]:
        scale = grid["weight_scale"].float()[:, None].expand(-1, len(columns))
        return scale, torch.zeros_like(scale)

    def pack_with(self, numbers: Tensor, grid: Parts) -> Parts:
        return {"weight": numbers, **grid}

    def unpack(self, parts: Parts, columns: int) -> Tensor:
        return parts["weight"].float() * parts["weight_scale"].float()[:, None]

    def kernel(self, device: torch.device, dtype: torch.dtype) -> Kernel | None:
        if device.type == "cpu":
            return Int8Kernel(torch.bfloat16)
        kernel = Int8Kernel(dtype)
        return kernel if works(self, kernel, device, dtype) else None


class Int8Kernel(Kernel):
    """PyTorch's weight-only operator, with activations in `dtype`.

    The CPU operator crashes the process in bf16 where the columns are no multiple of 16, so that they are padded.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        weight = F.pad(parts["weight"], (0, -columns % 16)).contiguous()
        return weight, parts["weight_scale"], parts["weight_scale"].to(self.dtype)

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        return {"weight": held[0][:, :columns].contiguous(), "weight_scale": held[1]}

    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        weight, _, scale = held
        return torch._weight_int8pack_mm(F.pad(x.to(self.dtype), (0, -columns % 16)), weight, scale)

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return held[0][ids, :columns].float() * held[1][ids].float()[:, None]
