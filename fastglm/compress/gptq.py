"""GPTQ (Frantar et al., ICLR 2023, arXiv 2210.17323): a matrix rounded so that its products stay, not its numbers.

Columns are rounded one after the other, and what the rounding of each did to the outputs on calibration inputs is made
up for by the columns that are still to come. Those whose inputs matter most come first ("activation order"), on the
scales that their groups have where they lie ("static groups"), so that nothing of the order is left in what is packed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..kernels.format import BLOCK_ROWS, Parts, WeightFormat

BLOCK_COLUMNS = 128  # rounded before the columns behind them are told (lazy updates: the paper, section 3.2)
# Added to the diagonal, as a share of its mean; the next one where a factorisation fails.
DAMPINGS = (0.05, 0.2, 1.0)
# Ranges that are tried for the weights that share a scale, as shares of the one that holds them all.
RANGES = tuple(1 - 0.03 * step for step in range(9))
FITTED_ROWS = 512  # whose ranges are tried together


class Hessian:
    """`H = 2 X Xᵀ` of the inputs of a linear layer, summed as they come."""

    def __init__(self, columns: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.matrix = torch.zeros(columns, columns, device=device, dtype=dtype)

    def add(self, x: Tensor) -> None:
        """x: [..., columns]."""
        x = x.flatten(0, -2).to(self.matrix.dtype)
        self.matrix.addmm_(x.T, x, alpha=2)


@dataclass(frozen=True, slots=True)
class Factors:
    """A Hessian as rounding wants it: damped, in activation order, inverted and factorised."""

    order: Tensor  # [columns], int64: the columns by descending diagonal
    upper: Tensor  # [columns, columns], the upper U with H⁻¹ = Uᵀ U, rows and columns in that order

    @property
    def importance(self) -> Tensor:
        """[columns]: what an error of 1 in a column costs once the columns behind it have made up for what they can."""
        importance = torch.empty_like(self.upper.diagonal())
        importance[self.order] = self.upper.diagonal() ** -2
        return importance

    def solve(self, right: Tensor) -> Tensor:
        """`right · H⁻¹`, for `right` [rows, columns]."""
        solved = torch.empty_like(right)
        solved[:, self.order] = right[:, self.order] @ self.upper.T @ self.upper
        return solved


def factorise(hessian: Tensor) -> Factors:
    """The factors of `hessian` [columns, columns]; peak memory, without it, is that of two such matrices.

    With L the Cholesky factor of H in the reverse order, H = L Lᵀ, U is L⁻¹ in the order again.

    Raises:
        CheckpointError: it is not finite, as the activations of a broken model are not.
    """
    diagonal = hessian.diagonal()
    level, order = float(diagonal.mean()), diagonal.argsort(descending=True, stable=True)
    back = order.flip(0)
    damped, before = hessian[back[:, None], back], 0.0
    del hessian, diagonal
    for damping in DAMPINGS if isfinite(level) else ():
        damped.diagonal().add_((damping - before) * (level or 1.0))
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            inverse = torch.eye(len(order), out=damped)
            torch.linalg.solve_triangular(lower, inverse, upper=False, out=inverse)
            del lower
            return Factors(order, inverse.flip(0, 1))
        before = damping
    raise CheckpointError("The calibration texts drive this model's activations out of range: check its weights.")


def quantise(weight: Tensor, factors: Factors, format: WeightFormat) -> Parts:
    """Packs `weight` [rows, columns], any floating point; peak memory beside it is that of a block of rows in fp32."""
    return _blocks(weight, lambda block: _quantise(block, factors, format))


def nearest(weight: Tensor, format: WeightFormat) -> Parts:
    """Packs `weight` [rows, columns], whose inputs are not known, to nearest, with the least squared error."""
    return _blocks(weight, lambda block: format.pack(block, fit_grid(block, block.new_ones(block.shape[1]), format)))


def fit_grid(weight: Tensor, importance: Tensor, format: WeightFormat) -> Parts:
    """The grid for `weight` [rows, columns] with the least squared error, each column's times its `importance`."""
    fitted = [_fit_grid(rows.float(), importance, format) for rows in weight.split(FITTED_ROWS)]
    return {name: torch.cat([grid[name] for grid in fitted]) for name in fitted[0]}


def _fit_grid(weight: Tensor, importance: Tensor, format: WeightFormat) -> Parts:
    best: Parts = {}
    for share in RANGES:
        grid = format.grid(weight * share)
        errors = format.unpack(format.pack(weight, grid), weight.shape[1]).sub_(weight).square_().mul_(importance)
        loss = format.pooled(errors)
        if not best:
            best, least = grid, loss
        best = {name: torch.where(loss < least, part, best[name]) for name, part in grid.items()}
        least = torch.minimum(loss, least)
    return best


def _blocks(weight: Tensor, pack: Callable[[Tensor], Parts]) -> Parts:
    blocks = [pack(block) for block in weight.split(BLOCK_ROWS)]
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def _quantise(weight: Tensor, factors: Factors, format: WeightFormat) -> Parts:
    order, upper = factors.order, factors.upper
    weight = weight.to(upper.device)
    grid = fit_grid(weight, factors.importance, format)
    left = weight.T[order].to(upper.dtype)  # [columns, rows] that are left to round, with what the others did to them
    numbers = torch.empty(left.shape, dtype=torch.int8, device=left.device)
    for first in range(0, len(order), BLOCK_COLUMNS):
        block = slice(first, first + BLOCK_COLUMNS)
        scale, zero = (part.T.to(left.dtype) for part in format.scale_and_zero(grid, order[block]))
        numbers[order[block]], errors = _round(left[block], upper[block, block], scale, zero, format.limits)
        left[block.stop :].addmm_(upper[block, block.stop :].T, errors, alpha=-1)
    return format.pack_with(numbers.T.contiguous(), grid)


def _round(left: Tensor, upper: Tensor, scale: Tensor, zero: Tensor, limits: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The numbers [columns, rows] of a block of columns, and the errors that the columns behind it make up for."""
    numbers, errors = torch.empty_like(left, dtype=torch.int8), torch.empty_like(left)
    for column, pivot in enumerate(upper.diagonal().tolist()):
        wanted = left[column]
        rounded = ((wanted - zero[column]) / scale[column]).round_().clamp_(*limits)
        numbers[column] = rounded
        errors[column] = (wanted - torch.addcmul(zero[column], rounded, scale[column])) / pivot
        left[column + 1 :].addr_(upper[column, column + 1 :], errors[column], alpha=-1)
    return numbers, errors
