"""PyTorch's own weight-only operators: int8 on any device, int4 in tiles on CUDA cards and MPS."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .format import Parts
from .int4 import Int4, join, quantise, split
from .kernel import Kernel

PAD = 32  # int8 columns are padded to a multiple of this number, which this package's CPU kernel reads at a time


class Int8Kernel(Kernel):
    """PyTorch's weight-only operator, with activations in `dtype`.

    The CPU operator crashes the process in bf16 unless the columns are a multiple of 16, so they are padded.
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


class TiledInt4Kernel(Kernel):
    """PyTorch's operator for CUDA (compute capability 8.0 and up) and MPS: bf16 activations, weights in tiles.

    The order of the tiles is undocumented, so restoring multiplies by the identity and rounds back to the numbers.
    """

    gathers = False

    TILES = 8  # number of tiles, each of 16 columns, that are stored together in the innermost dimension

    def __init__(self, format: Int4) -> None:
        self.format = format

    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        scales = F.pad(self.format.scales_and_zeros(parts, rows, columns), (0, 0, 0, -rows % 16))
        weight = parts["weight"]
        numbers = F.pad(split(weight), (0, self._width(columns) - 2 * weight.shape[1], 0, -rows % 16)) + 8
        packed = torch._convert_weight_to_int4pack(
            (numbers[:, ::2] << 4 | numbers[:, 1::2]).view(torch.uint8), self.TILES
        )
        scales = F.pad(
            scales, (0, 0, 0, 0, 0, self._width(columns) // self.format.operator_group(columns) - len(scales))
        )
        return packed, scales, *(parts[name] for name in parts if name != "weight")

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        names = list(self.format.spec(rows, columns))
        width = self.format.spec(rows, columns)["weight"][0][1] * 2
        identity = torch.eye(self._width(columns), dtype=torch.bfloat16, device=held[0].device)[:width]
        weight = torch.cat([self._product(block, held) for block in identity.split(256)]).t()[:rows].float()
        group = self.format.operator_group(columns)
        scale, zero = (
            held[1][: -(-width // group), :rows, i].t().float().repeat_interleave(group, 1)[:, :width] for i in (0, 1)
        )
        return {"weight": join(quantise(weight, scale, zero)), **dict(zip(names[1:], held[2:], strict=True))}

    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return self._product(F.pad(x.bfloat16(), (0, self._width(columns) - columns)), held)[:, :rows]

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        raise RuntimeError("the tiles cannot be read row by row: an embedding keeps the portable layout beside them")

    def _width(self, columns: int) -> int:
        step = max(16 * self.TILES, self.format.operator_group(columns))
        return -(-columns // step) * step

    def _product(self, x: Tensor, held: tuple[Tensor, ...]) -> Tensor:
        group = x.shape[1] // held[1].shape[0]
        return torch._weight_int4pack_mm(x, held[0], group, held[1])
