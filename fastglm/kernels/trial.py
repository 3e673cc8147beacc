"""The trial of a way to multiply before its use: large sums, and activations with outliers."""

from collections.abc import Callable

import torch
from torch import Tensor

from .format import WeightFormat

Product = Callable[[Tensor], Tensor]  # a product: x [n, columns] → x @ W.T [n, rows]

ROWS = (1, 16)  # rows of activations: kernels may have different ways for few and for many
OUTLIERS = (1, 10, 100, 1000)  # sizes of some channels of the activations, relative to the rest
# Largest error of rounding activations, relative to the error of rounding weights. In small matrices, with both rounded
# to as many bits in groups of one size, it is 1; with one scale per row and outliers it is 3 and more.
MOST = 1.25
# Largest error relative to the lengths of a row of activations and of weights: overflowing integers cause 0.06 and
# more.
LARGEST_ERROR = 0.02
# Part of the key of stored times: it changes with the demands on a way.
NAME = f"outliers to {OUTLIERS[-1]} × within {MOST} × the error of the weights"


class Trial:
    """Weights in a format, and activations to multiply by them."""

    def __init__(self, format: WeightFormat, rows: int, columns: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._weight, self._x = (torch.randn(n, columns, generator=generator) for n in (rows, ROWS[-1]))
        self._weight[::2].abs_()  # every other row of large sums
        self.parts = format.pack(self._weight)
        self._unpacked = format.unpack(self.parts, columns).double()

    def passed(self, product: Product) -> bool:
        """Tell whether products are right."""
        return all(
            self._adds_up(product, self._x[:n])
            and all(self._error(product, self._x[:n], size) <= MOST for size in OUTLIERS)
            for n in ROWS
        )

    def _adds_up(self, product: Product, x: Tensor) -> bool:
        """Tell whether large sums are right, in which overflowing integers show."""
        x = x.abs()
        bound = LARGEST_ERROR * x.norm(dim=1)[:, None] * self._weight.norm(dim=1)
        return bool(((product(x) - x.double() @ self._unpacked.T).abs() <= bound).all())

    def _error(self, product: Product, x: Tensor, size: float) -> float:
        """Error relative to rounding the weights, with one to three channels of activations `size` times as large as
        the rest.
        """
        x = x.clone()
        middle = x.shape[1] // 2
        x[:, [middle, middle + 1, 0][: max(1, x.shape[1] // 100)]] *= size
        exact = x.double() @ self._unpacked.T
        rounding = exact - x.double() @ self._weight.double().T
        # Rows of mixed signs only: with weights of one sign, errors of rounded activations add up in some rows.
        return float((product(x) - exact)[:, 1::2].norm() / rounding[:, 1::2].norm())
