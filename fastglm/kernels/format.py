"""The contract of a weight format: how a matrix of weights is stored.

A format has one portable layout, the tensors that lie on disk and are the same for every device. Rows are outputs,
columns are inputs, as in `nn.Linear`. `kernel` has the contract of products with such a matrix.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

Parts = dict[str, Tensor]
Spec = dict[str, tuple[tuple[int, ...], torch.dtype]]

# Rows unpacked at a time where a whole matrix in floating point would be too much memory.
BLOCK_ROWS = 4096


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

    def bytes(self, rows: int, columns: int) -> int:
        """Bytes of the portable tensors."""
        return sum(torch.Size(shape).numel() * dtype.itemsize for shape, dtype in self.spec(rows, columns).values())
