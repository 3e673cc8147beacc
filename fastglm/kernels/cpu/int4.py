"""int4 weights on a CPU: in the layout of PyTorch's operator, or in one of two for this package's own kernel: the
portable layout, or panels.
"""

from abc import abstractmethod
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autotune import MeasuredKernel, Strategy
from ..blockwise import blockwise
from ..format import BLOCK_ROWS, Parts
from ..int4 import Int4, join, split
from ..kernel import Kernel
from . import library, panels

CHUNK = 64  # columns of the portable layout that this package's kernel reads at a time


def cpu_kernel(format: Int4) -> Kernel | None:
    """This package's kernel if it is built, otherwise PyTorch's if its layout is known."""
    if library.ready():
        return (PanelInt4Kernel if library.has_vnni() else NativeInt4Kernel)(format)
    return CpuInt4Kernel(format) if row_order() is not None else None


class UnpackedProducts(MeasuredKernel):
    """Products that unpack weights on the way: for many rows of activations, and for comparison."""

    format: Int4

    @abstractmethod
    def _weights(self, held: tuple[Tensor, ...], rows: slice) -> Tensor:
        """Unpack some rows, in fp32 [rows, width]; the slice begins at a multiple of 64."""

    def _unpacked(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product in fp32, to which the weights are unpacked."""
        x = x.float().t()
        return blockwise(lambda block: self._weights(held, block)[:, :columns] @ x, rows, len(x))


class CpuInt4Kernel(UnpackedProducts):
    """int4 weights in the layout of PyTorch's CPU operator: rows in blocks whose order depends on the processor."""

    def __init__(self, format: Int4) -> None:
        super().__init__(format)
        order = row_order()
        assert order is not None
        self.order = order
        self.place = order.argsort()

    def hold(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        group = self.format.operator_group(columns)
        width = -(-columns // group) * group
        scales = self.format.scales_and_zeros(parts, rows, columns)
        scales = F.pad(scales, (0, 0, 0, -rows % 64))
        packed = torch.empty(rows + -rows % 64, width // 2, dtype=torch.uint8)
        for start in range(0, packed.shape[0], BLOCK_ROWS):
            numbers = split(parts["weight"][start : start + BLOCK_ROWS])
            numbers = F.pad(numbers, (0, width - numbers.shape[1], 0, -numbers.shape[0] % 64)).int() + 8
            packed[start : start + BLOCK_ROWS] = torch._convert_weight_to_int4pack_for_cpu(numbers, 1)
        # The published scale is finer than bf16; keeping it makes restoring exact.
        return packed, scales, *([parts["weight_scale"]] if self.format.group is None else [])

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        packed, scales = held[:2]
        width = self.format.spec(rows, columns)["weight"][0][1] * 2
        weight = torch.cat([join(numbers[:, :width]) for numbers in self._numbers(packed)])[:rows]
        if self.format.group is None:
            return {"weight": weight, "weight_scale": held[2]}
        scale, zero = (scales[:, :rows, i].t().contiguous() for i in (0, 1))
        return {"weight": weight, "weight_scale": scale, "weight_zero": zero}

    def ways(self) -> dict[str, Strategy]:
        return {"operator": self._operator, "unpacked": self._unpacked}

    def _operator(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product by PyTorch's operator, with activations in bf16."""
        packed, scales = held[:2]
        x = F.pad(x.bfloat16(), (0, 2 * packed.shape[1] - columns))
        group = 2 * packed.shape[1] // scales.shape[0]
        return torch._weight_int4pack_mm_for_cpu(x, packed, group, scales)[:, :rows]

    def _weights(self, held: tuple[Tensor, ...], rows: slice) -> Tensor:
        packed = held[0][rows.start : -(-rows.stop // 64) * 64]
        scale, zero = held[1][:, rows.start : rows.start + len(packed)].float().permute(2, 1, 0)
        numbers = torch.cat(self._numbers(packed)).float().unflatten(1, (scale.shape[1], -1))
        return torch.addcmul(zero[..., None], numbers, scale[..., None]).flatten(1)[: rows.stop - rows.start]

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        packed, scales = held[:2]
        size = self.order.numel()
        blocks = packed.view(-1, packed.shape[1] * 2, size // 2)
        place = self.place[ids % size]
        halves = blocks[ids // size, :, place % (size // 2)]
        numbers = torch.where((place < size // 2)[:, None], halves & 15, halves >> 4).float() - 8
        scale, zero = scales[:, ids].float().unbind(2)
        weight = torch.addcmul(zero.t()[..., None], numbers.unflatten(1, (scales.shape[0], -1)), scale.t()[..., None])
        return weight.flatten(1)[:, :columns]

    def _numbers(self, packed: Tensor) -> list[Tensor]:
        """Unpack to int8 in -8 … 7, [BLOCK_ROWS, width] each."""
        size = self.order.numel()
        found = []
        for start in range(0, packed.shape[0], BLOCK_ROWS):
            blocks = packed[start : start + BLOCK_ROWS].reshape(-1, packed.shape[1] * 2, size // 2)
            nibbles = torch.cat((blocks & 15, blocks >> 4), 2)[:, :, self.place]
            found.append(nibbles.transpose(1, 2).flatten(0, 1).to(torch.int8) - 8)
        return found


class NativeInt4Kernel(UnpackedProducts):
    """int4 weights in the portable layout for this package's kernel, which rounds activations to int8 in the same
    groups.
    """

    def hold(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        group = self.format.operator_group(columns)
        step = max(group, CHUNK)
        width = -(-columns // step) * step
        if self.format.group is None:
            scale, zero = (
                part.t().contiguous() for part in self.format.scales_and_zeros(parts, rows, columns).unbind(2)
            )
        else:
            scale, zero = parts["weight_scale"], parts["weight_zero"]
        held = _widened(parts["weight"], width // 2), _widened(scale, width // group), _widened(zero, width // group)
        # The published scale is finer than bf16; keeping it makes restoring exact.
        return *held, *([parts["weight_scale"]] if self.format.group is None else [])

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        spec = self.format.spec(rows, columns)
        stored = (held[0], held[3]) if self.format.group is None else held
        return {
            name: part[tuple(slice(size) for size in shape)].contiguous()
            for part, (name, (shape, _)) in zip(stored, spec.items(), strict=True)
        }

    def ways(self) -> dict[str, Strategy]:
        return {"native": self._native, "unpacked": self._unpacked}

    def _native(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        weight, scale, zero = held[:3]
        group = 2 * weight.shape[1] // scale.shape[1]
        return torch.ops.fastglm.int4_product(x.float().contiguous(), weight, scale, zero, group)

    def _weights(self, held: tuple[Tensor, ...], rows: slice) -> Tensor:
        return _unpack(*(part[rows] for part in held[:3]))

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return _unpack(*(part[ids] for part in held[:3]))[:, :columns]


class PanelInt4Kernel(NativeInt4Kernel):
    """int4 weights in panels for this package's kernel on processors with AVX-512 and VNNI.

    held: the numbers, [panels, words, ROWS, 4], eight columns of a row in a word; scales and zeros, [panels, groups,
    ROWS].
    """

    def hold(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        weight, scale, zero, *published = super().hold(parts, rows, columns)
        return panels.words(weight), panels.side_by_side(scale), panels.side_by_side(zero), *published

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        portable = (panels.by_rows(part, slice(0, rows)) for part in held[:3])
        return super().restore((*portable, *held[3:]), rows, columns)

    def _native(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        weight, scale, zero = held[:3]
        group = 8 * weight.shape[1] // scale.shape[1]
        return torch.ops.fastglm.int4_product(x.float().contiguous(), weight, scale, zero, group)[:, :rows]

    def _weights(self, held: tuple[Tensor, ...], rows: slice) -> Tensor:
        return _unpack(*(panels.by_rows(part, rows) for part in held[:3]))

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return _unpack(*(panels.gather(part, ids) for part in held[:3]))[:, :columns]


def _unpack(packed: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Unpack rows of the portable layout to fp32, [rows, width]."""
    numbers = split(packed).float().unflatten(1, (scale.shape[1], -1))
    return torch.addcmul(zero.float()[..., None], numbers, scale.float()[..., None]).flatten(1)


def _widened(part: Tensor, columns: int) -> Tensor:
    """Pad the rows with zeros; returns the same tensor if it is wide enough."""
    return F.pad(part, (0, columns - part.shape[1])) if part.shape[1] < columns else part


@cache
def row_order() -> Tensor | None:
    """The order in which PyTorch's CPU packing on this processor stores the rows of a block, low nibbles first.

    Matrices that contain their own indices are packed to find it, because the order differs between instruction sets.
    None if the packing has an unknown shape.
    """
    rows, columns = 64, 32
    index = torch.arange(rows)[:, None].expand(-1, columns)
    column = torch.arange(columns)[None].expand(rows, -1)

    def nibbles(of: Tensor, bits: int) -> Tensor:
        """Values of the packed nibbles of `of`, [2 (low, high), bytes]."""
        found = torch.zeros(2, rows * columns // 2, dtype=torch.int64)
        for bit in range(bits):
            packed = torch._convert_weight_to_int4pack_for_cpu((of >> bit & 1).int().contiguous(), 1).flatten().long()
            found += torch.stack((packed & 15, packed >> 4)) << bit
        return found

    row, col = nibbles(index, 6), nibbles(column, 5)
    for size in (64, 32, 16):
        shape = (2, rows // size, columns, size // 2)
        by_block, by_column = row.view(shape), col.view(shape)
        expected = torch.arange(columns)[None, None, :, None].expand(shape)
        order = by_block[:, 0, 0].flatten()
        whole = torch.stack([order.view(2, 1, -1).expand(-1, columns, -1) + n * size for n in range(rows // size)], 1)
        if (
            torch.equal(by_column, expected)
            and torch.equal(by_block, whole)
            and order.sort()[0].equal(torch.arange(size))
        ):
            return order
    return None
