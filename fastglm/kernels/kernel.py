"""The contract of a kernel: its layout of a packed matrix on a device, and its product.

A kernel may keep the numbers in its own order; the product is `x @ W.T`.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from .epilogue import Epilogue
from .format import Parts


class Kernel(ABC):
    """One way to hold and multiply a packed matrix of `rows` × `columns` on a device."""

    gathers = True  # tells whether single rows can be read, as an embedding does
    rounds = True  # tells whether activations are rounded on their way into the products

    @abstractmethod
    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        """Convert from the portable layout to the kernel's own, on the device of the parts."""

    @abstractmethod
    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        """Convert back to the portable layout, bit by bit."""

    @abstractmethod
    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Multiply x, [n, columns] → [n, rows], in the dtype of x or a narrower one."""

    def fused(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int, after: Epilogue) -> Tensor:
        """Multiply, and apply the epilogue: → [n, rows], or half of them after SwiGLU, in the dtype of x."""
        return after.apply(self.multiply(x, held, rows, columns), x.dtype, over=True)

    @abstractmethod
    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Read the rows of an embedding's ids [n]: [n, columns] in fp32."""
