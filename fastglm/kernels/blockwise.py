"""Products with a matrix of which only a block of rows is unpacked at a time."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

WEIGHTS = 2**20  # in a block: in fp32 they fit a cache
LEAST = 256  # rows of a block: with fewer, what they are multiplied by is read too often


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """All rows of a matrix in blocks of 64 rows or a multiple of it, which stay in a cache when they are unpacked."""
    step = max(LEAST, WEIGHTS // columns // 64 * 64)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def blockwise(product: Callable[[slice], Tensor], rows: int, columns: int) -> Tensor:
    """[n, rows] of what `product` gives for each of `row_blocks`, [rows of the block, n] each."""
    return torch.cat([product(block) for block in row_blocks(rows, columns)]).t().contiguous()
