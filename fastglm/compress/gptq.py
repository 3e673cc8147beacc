"""GPTQ (Frantar et al., ICLR 2023, arXiv 2210.17323): rounding that preserves a matrix's products, not its numbers.

Columns are rounded one after another, and the remaining columns compensate the effect of each rounding on the outputs
for calibration inputs. Columns with the most important inputs come first ("activation order"), with the scales of the
groups where they lie ("static groups"), so that the packed matrix does not depend on the order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..kernels.format import BLOCK_ROWS, Parts, WeightFormat

BLOCK_COLUMNS = 128  # columns rounded before the columns behind them are updated (lazy updates: the paper, section 3.2)
# Added to the diagonal, as a share of its mean; if a factorization fails, the next one is tried.
DAMPINGS = (0.05, 0.2, 1.0)
# Ranges to try for weights that share a scale, as shares of the range that holds them all.
RANGES = tuple(1 - 0.03 * step for step in range(9))
FITTED_ROWS = 512  # rows whose ranges are tried together


class Hessian:
    """`H = 2 X Xᵀ` of the inputs of a linear layer, summed batch by batch."""

    def __init__(self, columns: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.matrix = torch.zeros(columns, columns, device=device, dtype=dtype)

    def add(self, x: Tensor) -> None:
        """Add inputs x: [..., columns]."""
        x = x.flatten(0, -2).to(self.matrix.dtype)
        self.matrix.addmm_(x.T, x, alpha=2)


@dataclass(frozen=True, slots=True)
class Factors:
    """A Hessian prepared for rounding: damped, in activation order, inverted and factorized."""

    order: Tensor  # [columns], int64: the columns by descending diagonal
    upper: Tensor  # [columns, columns], the upper U with H⁻¹ = Uᵀ U, rows and columns in that order

    @property
    def importance(self) -> Tensor:
        """The importance of each column, [columns]: the cost of an error of 1 after the columns behind it have
        compensated it.
        """
        importance = torch.empty_like(self.upper.diagonal())
        importance[self.order] = self.upper.diagonal() ** -2
        return importance

    def solve(self, right: Tensor) -> Tensor:
        """Compute `right · H⁻¹` for `right` [rows, columns]."""
        solved = torch.empty_like(right)
        solved[:, self.order] = right[:, self.order] @ self.upper.T @ self.upper
        return solved


def factorise(hessian: Tensor) -> Factors:
    """The factors of `hessian` [columns, columns]; peak memory beside it is that of two such matrices.

    With L the Cholesky factor of H in the reverse order, H = L Lᵀ, U is L⁻¹ in the original order.

    Raises:
        CheckpointError: the Hessian is not finite, because the activations of a broken model are not.
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
    """Pack `weight` [rows, columns], any floating point; peak memory beside it is that of a block of rows in fp32."""
    return _blocks(weight, lambda block: _quantise(block, factors, format))


def nearest(weight: Tensor, format: WeightFormat) -> Parts:
    """Pack `weight` [rows, columns] without known inputs: round to nearest, on the grid with the least squared
    error.
    """
    return _blocks(weight, lambda block: format.pack(block, fit_grid(block, block.new_ones(block.shape[1]), format)))


def fit_grid(weight: Tensor, importance: Tensor, format: WeightFormat) -> Parts:
    """The grid for `weight` [rows, columns] with the least squared error, weighted by each column's `importance`."""
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
    left = weight.T[order].to(upper.dtype)  # [columns, rows] still to round, with the compensation of earlier ones
    numbers = torch.empty(left.shape, dtype=torch.int8, device=left.device)
    for first in range(0, len(order), BLOCK_COLUMNS):
        block = slice(first, first + BLOCK_COLUMNS)
        scale, zero = (part.T.to(left.dtype) for part in format.scale_and_zero(grid, order[block]))
        numbers[order[block]], errors = _round(left[block], upper[block, block], scale, zero, format.limits)
        left[block.stop :].addmm_(upper[block, block.stop :].T, errors, alpha=-1)
    return format.pack_with(numbers.T.contiguous(), grid)


def _round(left: Tensor, upper: Tensor, scale: Tensor, zero: Tensor, limits: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Round a block of columns: the numbers [columns, rows], and the errors for the columns behind it to compensate."""
    numbers, errors = torch.empty_like(left, dtype=torch.int8), torch.empty_like(left)
    for column, pivot in enumerate(upper.diagonal().tolist()):
        wanted = left[column]
        rounded = ((wanted - zero[column]) / scale[column]).round_().clamp_(*limits)
        numbers[column] = rounded
        errors[column] = (wanted - torch.addcmul(zero[column], rounded, scale[column])) / pivot
        left[column + 1 :].addr_(upper[column, column + 1 :], errors[column], alpha=-1)
    return numbers, errors
