"""Products with a matrix of which only a block of rows is unpacked at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

WEIGHTS = 2**20  # in a block: in fp32 they fit a cache
LEAST = 256  # rows of a block: with fewer, what they are multiplied by is read too often


def blockwise(product: Callable[[slice], Tensor], rows: int, columns: int) -> Tensor:
    """[n, rows] of what `product` gives for blocks of 64 rows or a multiple of it, [rows of the block, n] each."""
    step = max(LEAST, WEIGHTS // columns // 64 * 64)
    return (
        torch.cat([product(slice(start, min(start + step, rows))) for start in range(0, rows, step)]).t().contiguous()
    )
