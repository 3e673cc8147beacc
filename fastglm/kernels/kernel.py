"""The contract of a kernel: how a packed matrix is held on a device, and multiplied.

A kernel may keep the numbers in an order of its own; `x @ W.T` is the product.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from .epilogue import Epilogue
from .format import Parts


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
