"""int8 weights on a CPU: in the portable layout, or in panels for this package's own kernel."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autotune import MeasuredKernel, Strategy
from ..blockwise import blockwise
from ..format import Parts
from ..int8 import Int8
from ..kernel import Kernel
from ..weight_only import PAD, Int8Kernel
from . import library, panels


def cpu_kernel(format: Int8) -> Kernel:
    """Panels for this package's kernel if it is built for them, otherwise the portable layout."""
    return (PanelInt8Kernel if library.ready() and library.has_vnni() else CpuInt8Kernel)(format)


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
        built = library.ready() and not library.has_vnni()
        native: dict[str, Strategy] = {"native": self._native} if built else {}
        return native | {"operator": partial(Int8Kernel.multiply, self), "unpacked": self._unpacked}

    def _native(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product with activations in int16."""
        return torch.ops.fastglm.int8_product(x.float().contiguous(), held[0], held[3])

    def _unpacked(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product in fp32, to which the weights are unpacked."""
        x, (weight, scale, *_) = F.pad(x.float(), (0, -columns % PAD)), held
        return blockwise(lambda block: weight[block].float() @ x.t(), *weight.shape) * scale


class PanelInt8Kernel(MeasuredKernel):
    """int8 weights in panels for this package's kernel on processors with AVX-512 and VNNI.

    held: the numbers, [panels, words, ROWS, 4], four columns of a row in a word; the stored scales; scales in fp32,
    [panels, ROWS].
    """

    format: Int8

    def hold(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        scale = parts["weight_scale"]
        return panels.words(parts["weight"]), scale, panels.side_by_side(scale.float()[:, None])[:, 0]

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        weight = panels.by_rows(held[0], slice(0, rows))[:, :columns].contiguous()
        return {"weight": weight, "weight_scale": held[1]}

    def ways(self) -> dict[str, Strategy]:
        return {"native": self._native, "unpacked": self._unpacked}

    def _native(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product with activations in int16; many rows use int8, with a scale for each group of columns and outliers in
        fp32.
        """
        return torch.ops.fastglm.int8_product(x.float().contiguous(), held[0], held[2])[:, :rows]

    def _unpacked(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        """Product in fp32, to which the weights are unpacked."""
        x = x.float().t()

        def product(block: slice) -> Tensor:
            return panels.by_rows(held[0], block)[:, :columns].float() @ x

        return blockwise(product, rows, columns) * held[1].float()

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return panels.gather(held[0], ids)[:, :columns].float() * held[1][ids].float()[:, None]
