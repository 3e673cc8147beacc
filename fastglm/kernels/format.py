"""The contract of a weight format: the storage of a matrix of weights.

A format has one portable layout, the tensors on disk, equal for every device. Rows are outputs, columns are inputs, as
in `nn.Linear`. `kernel` has the contract of products with such a matrix.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .layout import Layout

Parts = dict[str, Tensor]
Spec = dict[str, tuple[tuple[int, ...], torch.dtype]]

# Rows to unpack at a time when a whole matrix in floating point would need too much memory.
BLOCK_ROWS = 4096


class WeightFormat(ABC):
    """A way to store weights as packed numbers. Instances are small and immutable."""

    layout: Layout
    limits: tuple[int, int]  # the smallest and the largest of the packed numbers

    @property
    def name(self) -> str:
        """The name in recipes and configs."""
        return self.layout.name

    def spec(self, rows: int, columns: int) -> Spec:
        """Shapes and dtypes of the portable tensors."""
        found = self.layout.spec(rows, columns)
        return {name: (shape, getattr(torch, dtype)) for name, (shape, dtype) in found.items()}

    @abstractmethod
    def pack(self, weight: Tensor, grid: Parts | None = None) -> Parts:
        """Round `weight`, [rows, columns] in floating point on any device, to the nearest of `grid` or of its own
        grid.
        """

    @abstractmethod
    def grid(self, weight: Tensor) -> Parts:
        """The portable tensors beside the numbers: scales and zeros that keep all of `weight` in range."""

    @abstractmethod
    def scale_and_zero(self, grid: Parts, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero of the given columns, fp32 [rows, len(columns)] each: a number means `number · scale +
        zero`.
        """

    @abstractmethod
    def pooled(self, values: Tensor) -> Tensor:
        """Sum over the columns that share a scale: [rows, columns] → the shape of the scales."""

    @abstractmethod
    def pack_with(self, numbers: Tensor, grid: Parts) -> Parts:
        """Pack numbers in `limits`, int8 [rows, columns], unchanged."""

    def pack_blocks(self, weight: Tensor) -> Parts:
        """Pack a block of rows at a time, so that memory holds little more than the packed numbers."""
        blocks = [self.pack(block) for block in weight.split(BLOCK_ROWS)]
        return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}

    @abstractmethod
    def unpack(self, parts: Parts, columns: int) -> Tensor:
        """Unpack to the weights, fp32 [rows, columns]."""
