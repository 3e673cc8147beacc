"""The reference kernel: works for every format on every device; other kernels are compared with it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .blockwise import WEIGHTS, row_blocks
from .format import BLOCK_ROWS, Parts, WeightFormat
from .kernel import Kernel


class ReferenceKernel(Kernel):
    """Unpacks a block of rows at a time and multiplies in the dtype of x, or on CPUs in fp32 if x is narrower."""

    rounds = False

    def __init__(self, format: WeightFormat) -> None:
        self.format = format

    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        return tuple(parts[name] for name in self.format.spec(rows, columns))

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        return dict(zip(self.format.spec(rows, columns), held, strict=True))

    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        out = x.new_empty(x.shape[0], rows)
        wide = x.to(torch.promote_types(x.dtype, torch.float32)) if x.is_cpu else x
        # Only large blocks keep a GPU busy.
        for block in row_blocks(rows, columns if x.is_cpu else WEIGHTS // BLOCK_ROWS):
            out[:, block] = F.linear(wide, self._unpack(held, rows, columns, block).to(wide.dtype)).to(x.dtype)
        return out

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return self._unpack(held, rows, columns, ids)

    def _unpack(self, held: tuple[Tensor, ...], rows: int, columns: int, which: slice | Tensor) -> Tensor:
        parts = {name: part[which] for name, part in self.restore(held, rows, columns).items()}
        return self.format.unpack(parts, columns)
