"""int8 weights on a CPU in the portable layout."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autotune import MeasuredKernel, Strategy
from ..blockwise import blockwise
from ..format import Parts
from ..int8 import Int8
from ..weight_only import PAD, Int8Kernel
from . import library


class CpuInt8Kernel(MeasuredKernel, Int8Kernel):
    """int8 weights in the portable layout, for PyTorch's weight-only operator, this package's own, and products of many
    rows.
    """

    rounds = True

    def __init__(self, format: Int8) -> None:
        super().__init__(format)
        self.dtype = torch.bfloat16

    def hold(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        return *Int8Kernel.prepare(self, parts, rows, columns), parts["weight_scale"].float()

    def ways(self) -> dict[str, Strategy]:
        native: dict[str, Strategy] = {"native": self._native} if library.ready() else {}
        return native | {"operator": partial(Int8Kernel.multiply, self), "unpacked": self._unpacked}

    def _native(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product with activations in int16; many rows on a processor with VNNI use int8, with a scale for each group
        of columns and outliers in fp32.
        """
        return torch.ops.fastglm.int8_product(x.float().contiguous(), held[0], held[3])

    def _unpacked(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product in fp32, to which the weights are unpacked."""
        x, (weight, scale, *_) = F.pad(x.float(), (0, -columns % PAD)), held
        return blockwise(lambda block: weight[block].float() @ x.t(), *weight.shape) * scale
