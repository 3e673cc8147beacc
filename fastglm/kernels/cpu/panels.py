"""Panels: ROWS rows of a matrix side by side, as this package's kernels for AVX-512 and VNNI read them."""

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 32


def side_by_side(part: Tensor) -> Tensor:
    """Put rows into panels: [rows, numbers] → [panels, numbers, ROWS]; rows that are missing are 0."""
    return F.pad(part, (0, 0, 0, -len(part) % ROWS)).unflatten(0, (-1, ROWS)).transpose(1, 2).contiguous()


def words(part: Tensor) -> Tensor:
    """Put rows of bytes into panels, four bytes of a row together: int8 [rows, bytes] → [panels, words, ROWS, 4]."""
    part = F.pad(part, (0, -part.shape[1] % 4))
    if not part.is_contiguous() or part.storage_offset() % 4:
        part = part.clone(memory_format=torch.contiguous_format)
    return side_by_side(part.view(torch.int32)).view(torch.int8).unflatten(2, (ROWS, 4))


def by_rows(part: Tensor, rows: slice) -> Tensor:
    """Undo `side_by_side` or `words` for some rows; the slice begins with a panel."""
    panels = part[rows.start // ROWS : -(-rows.stop // ROWS)]
    return panels.transpose(1, 2).flatten(2).flatten(0, 1)[: rows.stop - rows.start]


def gather(part: Tensor, ids: Tensor) -> Tensor:
    """Read the rows of some ids [n]: [n, numbers]."""
    return part[ids // ROWS, :, ids % ROWS].flatten(1)
