"""Products with a matrix that is unpacked one block of rows at a time."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

WEIGHTS = 2**20  # numbers in a block: in fp32 they fit a cache
LEAST = 256  # fewest rows of a block: with fewer, the activations are read too often


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Split all rows of a matrix into blocks of a multiple of 64 rows; a block fits a cache when unpacked."""
    step = max(LEAST, WEIGHTS // columns // 64 * 64)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def blockwise(product: Callable[[slice], Tensor], rows: int, columns: int) -> Tensor:
    """Join the results of `product` for each of `row_blocks`, [rows of the block, n] each, to [n, rows]."""
    return torch.cat([product(block) for block in row_blocks(rows, columns)]).t().contiguous()
