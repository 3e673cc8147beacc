"""int8 and int4 weights on CUDA cards, multiplied by Triton kernels."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..epilogue import NOTHING, Epilogue
from ..format import BLOCK_ROWS, Parts, WeightFormat
from ..int4 import join, split
from ..kernel import Kernel
from .layout import interleave, numbers_of

if TYPE_CHECKING:
    from .launch import Packed

LOWEST = (7, 5)
LOWEST_FOR_BF16 = (8, 0)


def refusal(capability: tuple[int, int], dtype: torch.dtype) -> str | None:
    """The reason why the kernels do not run on a card with activations in `dtype`; None if they do."""
    if capability < LOWEST:
        return "the Triton kernels need compute capability 7.5 or more, this card has {}.{}".format(*capability)
    if dtype == torch.bfloat16 and capability < LOWEST_FOR_BF16:
        return "bfloat16 needs compute capability 8.0 or more, this card has {}.{}: use float16".format(*capability)
    if dtype not in (torch.float16, torch.bfloat16):
        return f"the Triton kernels take float16 and bfloat16, not {str(dtype).removeprefix('torch.')}"
    return None


class TritonKernel(Kernel):
    """Multiplies numbers in units of 16 bytes (see `products`), with scales and zeros in the portable layout."""

    rounds = False

    def __init__(self, format: WeightFormat, bits: int, group: int | None) -> None:
        self.format, self.bits, self.group = format, bits, group or 0

    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        name, *others = self.format.spec(rows, columns)
        words = torch.cat([interleave(self._numbers(block), self.bits) for block in parts[name].split(BLOCK_ROWS)])
        return words, *(parts[other] for other in others)

    def restore(self, held: tuple[Tensor, ...], rows: int, columns: int) -> Parts:
        name, *others = self.format.spec(rows, columns)
        blocks = [self._packed(block, name, columns) for block in held[0].split(BLOCK_ROWS)]
        return {name: torch.cat(blocks), **dict(zip(others, held[1:], strict=True))}

    def _numbers(self, weight: Tensor) -> Tensor:
        return split(weight) if self.bits == 4 else weight

    def _packed(self, words: Tensor, name: str, columns: int) -> Tensor:
        bytes = self.format.spec(len(words), columns)[name][0][1]
        numbers = numbers_of(words, self.bits)
        return join(numbers[:, : 2 * bytes]) if self.bits == 4 else numbers[:, :bytes].contiguous()

    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        return self.fused(x, held, rows, columns, NOTHING)

    def fused(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int, after: Epilogue) -> Tensor:
        from .launch import linear

        if reason := refusal(torch.cuda.get_device_capability(x.device), x.dtype):
            raise RuntimeError(reason)
        with torch.cuda.device(x.device):
            return linear(x, self.matrix(held, columns), after)

    def gather(self, ids: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        from .launch import unpacked

        with torch.cuda.device(ids.device):
            return unpacked(self.matrix(held, columns), torch.float32, ids)

    def matrix(self, held: tuple[Tensor, ...], columns: int) -> "Packed":
        """The matrix in the form that `launch` multiplies."""
        from .launch import Packed

        words, scale, *zero = held
        return Packed(words, scale, zero[0] if zero else None, columns, self.bits, self.group)
