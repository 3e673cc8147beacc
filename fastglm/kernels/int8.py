"""int8 weights with one scale per output row: `w ≈ weight · scale`, also the published `chatglm-6b-int8` layout."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .autotune import MeasuredKernel, Strategy
from .blockwise import blockwise
from .cpu import library
from .format import Kernel, Parts, Spec, WeightFormat
from .probe import first_that_works

PAD = 32  # columns are padded to a multiple of it: what the own kernel reads at a time


class Int8(WeightFormat):
    """int8 per output channel. Scales are bf16 so that every kernel multiplies by the same number; published: fp16."""

    name = "int8"
    limits = (-127, 127)

    def __init__(self, scale_dtype: torch.dtype = torch.bfloat16) -> None:
        self.scale_dtype = scale_dtype

    def spec(self, rows: int, columns: int) -> Spec:
        return {"weight": ((rows, columns), torch.int8), "weight_scale": ((rows,), self.scale_dtype)}

    def pack(self, weight: Tensor, grid: Parts | None = None) -> Parts:
        weight, grid = weight.float(), grid or self.grid(weight)
        numbers = (weight / grid["weight_scale"].float()[:, None]).round().clamp(*self.limits)
        return self.pack_with(numbers.to(torch.int8), grid)

    def grid(self, weight: Tensor) -> Parts:
        least = 1e-7 if self.scale_dtype == torch.float16 else 1e-12  # no 0 in the dtype, for rows of zeros
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

    def kernel(self, device: torch.device, dtype: torch.dtype) -> Kernel | None:
        if device.type == "cpu":
            return CpuInt8Kernel(self)
        from .cuda.kernel import TritonKernel

        ways: list[Kernel] = [TritonKernel(self, 8, None)] if device.type == "cuda" else []
        return first_that_works(self, [*ways, Int8Kernel(dtype)], device, dtype)


class Int8Kernel(Kernel):
    """PyTorch's weight-only operator, with activations in `dtype`.

    The CPU operator crashes the process in bf16 where the columns are no multiple of 16, so that they are padded.
    """

    rounds = False

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        weight = F.pad(parts["weight"], (0, -columns % PAD)).contiguous()
        return weight, parts["weight_scale"], parts["weight_scale"].to(self.dtype)

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        return {"weight": held[0][:, :columns].contiguous(), "weight_scale": held[1]}

    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        weight, _, scale = held[:3]
        return torch._weight_int8pack_mm(F.pad(x.to(self.dtype), (0, -columns % PAD)), weight, scale)

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return held[0][ids, :columns].float() * held[1][ids].float()[:, None]


class CpuInt8Kernel(MeasuredKernel, Int8Kernel):
    """The weights as they lie, for PyTorch's weight-only operator, this package's own, and products of many rows."""

    rounds = True

    def __init__(self, format: Int8) -> None:
        super().__init__(format)
        self.dtype = torch.bfloat16

    def hold(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        return *Int8Kernel.prepare(self, parts, rows, columns), parts["weight_scale"].float()

    def ways(self) -> dict[str, Strategy]:
        native: dict[str, Strategy] = {"native": self._native} if library.ready() else {}
        return native | {"operator": partial(Int8Kernel.multiply, self), "unpacked": self._unpacked}

    def _native(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """With activations in int16; with VNNI many rows of them in int8, each group of columns with its own scale, and
        outliers in fp32."""
        return torch.ops.fastglm.int8_product(x.float().contiguous(), held[0], held[3])

    def _unpacked(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """In fp32, to which the weights are unpacked."""
        x, (weight, scale, *_) = F.pad(x.float(), (0, -columns % PAD)), held
        return blockwise(lambda block: weight[block].float() @ x.t(), *weight.shape) * scale
