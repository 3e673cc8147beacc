"""The contract of a weight format: how a matrix of weights is stored, and how it is multiplied.

A format has one portable layout, the tensors that lie on disk and are the same for every device, and for each kind
of device a kernel, which may keep the numbers in an order of its own. Rows are outputs, columns are inputs, as in
`nn.Linear`; `x @ W.T` is the product.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from .blockwise import WEIGHTS, row_blocks
from .epilogue import Epilogue

Parts = dict[str, Tensor]
Spec = dict[str, tuple[tuple[int, ...], torch.dtype]]

# Rows unpacked at a time where a whole matrix in floating point would be too much memory.
BLOCK_ROWS = 4096


class Kernel(ABC):
    """One way to hold and multiply a packed matrix of `rows` × `columns` on a device."""

    gathers = True  # whether single rows can be read, as an embedding does
    rounds = True  # whether activations are rounded on their way into the products

    @abstractmethod
    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        """From the portable layout to the kernel's own, on the device of the parts."""

    @abstractmethod
    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        """Back to the portable layout, bit by bit."""

    @abstractmethod
    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """x: [n, columns] → [n, rows], in the dtype of x or a narrower one."""

    def fused(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int, after: Epilogue) -> Tensor:
        """`multiply` and what follows it: → [n, rows] in the dtype of x."""
        return after.apply(self.multiply(x, held, rows, columns), x.dtype, over=True)

    @abstractmethod
    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Rows of the matrix, [n, columns] in fp32, for ids [n]: what an embedding reads."""


class WeightFormat(ABC):
    """How weights become packed numbers. Instances are small and immutable."""

    name: str
    limits: tuple[int, int]  # the smallest and the largest of the packed numbers

    @abstractmethod
    def spec(self, rows: int, columns: int) -> Spec:
        """Shapes and dtypes of the portable tensors."""

    @abstractmethod
    def pack(self, weight: Tensor, grid: Parts | None = None) -> Parts:
        """Rounds to nearest, on a `grid` or on that of `weight`: [rows, columns], floating point, any device."""

    @abstractmethod
    def grid(self, weight: Tensor) -> Parts:
        """The portable tensors beside the numbers, scales and zeros, with which nothing of `weight` is out of range."""

    @abstractmethod
    def scale_and_zero(self, grid: Parts, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Of the given columns, fp32 [rows, len(columns)] each: a number stands for `number · scale + zero`."""

    @abstractmethod
    def pooled(self, values: Tensor) -> Tensor:
        """Sums over the columns that share a scale: [rows, columns] → the shape of the scales."""

    @abstractmethod
    def pack_with(self, numbers: Tensor, grid: Parts) -> Parts:
        """Packs numbers in `limits` as they are, int8 [rows, columns]."""

    def pack_blocks(self, weight: Tensor) -> Parts:
        """`pack`, a block of rows at a time, so that little more than the packed numbers is held."""
        blocks = [self.pack(block) for block in weight.split(BLOCK_ROWS)]
        return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}

    @abstractmethod
    def unpack(self, parts: Parts, columns: int) -> Tensor:
        """The weights that the packed numbers stand for, fp32 [rows, columns]."""

    @abstractmethod
    def kernel(self, device: torch.device, dtype: torch.dtype) -> Kernel | None:
        """The fast kernel for a device and a dtype of activations; None where only the reference works."""

    def bytes(self, rows: int, columns: int) -> int:
        """Bytes of the portable tensors."""
        return sum(torch.Size(shape).numel() * dtype.itemsize for shape, dtype in self.spec(rows, columns).values())


class ReferenceKernel(Kernel):
    """Unpacks a block of rows at a time and multiplies: in the dtype of x, or in fp32 on CPUs, where x is narrower."""

    rounds = False

    def __init__(self, format: WeightFormat) -> None:
        self.format = format

    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        return tuple(parts[name] for name in self.format.spec(rows, columns))

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        return dict(zip(self.format.spec(rows, columns), held, strict=True))

    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        out = x.new_empty(x.shape[0], rows)
        wide = x.to(torch.promote_types(x.dtype, torch.float32)) if x.is_cpu else x
        # A GPU has work enough only in large blocks.
        for block in row_blocks(rows, columns if x.is_cpu else WEIGHTS // BLOCK_ROWS):
            out[:, block] = F.linear(wide, self._unpack(held, rows, columns, block).to(wide.dtype)).to(x.dtype)
        return out

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return self._unpack(held, rows, columns, ids)

    def _unpack(self, held: tuple[Tensor, ...], rows: int, columns: int, which: slice | Tensor) -> Tensor:
        parts = {name: part[which] for name, part in self.restore(held, rows, columns).items()}
        return self.format.unpack(parts, columns)
