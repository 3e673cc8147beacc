"""The epilogue of a linear map: operations that a kernel may apply before it writes its sums."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu import library


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Optional operations on a product, in this order: add `bias` [rows], apply GELU in its tanh form or SwiGLU, add
    `scale · residual`.

    In SwiGLU the first half of the rows are the gates of the second half: the result has half as many rows.
    """

    bias: Tensor | None = None
    gelu: bool = False
    swiglu: bool = False
    residual: Tensor | None = None  # in the shape of the result
    scale: float = 1.0

    def apply(self, product: Tensor, dtype: torch.dtype, over: bool = False) -> Tensor:
        """Apply to a product, [..., rows] in `dtype` or a narrower one → [..., rows], or half of them, in `dtype`.

        `over` allows overwriting the product: memory that is new to the process costs as much time as the sums.
        """
        over = over and product.dtype == dtype and not torch.is_grad_enabled()
        if over and self.gelu and self.bias is not None and _in_one_pass(product, self.bias):
            y = torch.ops.fastglm.bias_gelu_(product, self.bias)
        else:
            # Adding the wider bias also widens the product, in one pass.
            if self.bias is not None:
                product = product.add_(self.bias) if over else product + self.bias
            y = product.to(dtype)
            if self.gelu:
                y = F.gelu(y, approximate="tanh")
        if self.swiglu:
            y = _swiglu(y)
        if self.residual is None:
            return y
        return y.add_(self.residual, alpha=self.scale) if over else torch.add(y, self.residual, alpha=self.scale)


def _swiglu(y: Tensor) -> Tensor:
    if not torch.is_grad_enabled() and y.is_contiguous() and _in_one_pass(y):
        return torch.ops.fastglm.swiglu(y)
    gate, scaled = y.chunk(2, -1)
    return F.silu(gate) * scaled


def _in_one_pass(*operands: Tensor) -> bool:
    """Tell whether this package's kernels take these operands; in a compiled step the compiler fuses the operations."""
    own = all(x.is_cpu and x.dtype == torch.float32 for x in operands)
    return own and library.ready() and not torch.compiler.is_compiling()


NOTHING = Epilogue()
