"""The epilogue of a linear map: operations that a kernel may apply before it writes its sums."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu import library


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Add `bias` [rows], apply GELU in its tanh form, add `scale · residual`, in this order; each part is optional."""

    bias: Tensor | None = None
    gelu: bool = False
    residual: Tensor | None = None  # in the shape of the product
    scale: float = 1.0

    def apply(self, product: Tensor, dtype: torch.dtype, over: bool = False) -> Tensor:
        """product: [..., rows] in `dtype` or a narrower one → [..., rows] in `dtype`.

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
        if self.residual is None:
            return y
        return y.add_(self.residual, alpha=self.scale) if over else torch.add(y, self.residual, alpha=self.scale)


def _in_one_pass(product: Tensor, bias: Tensor) -> bool:
    """Tell whether this package's kernel adds a bias and applies GELU; in a compiled step the compiler fuses them."""
    own = product.is_cpu and product.dtype == bias.dtype == torch.float32
    return own and library.ready() and not torch.compiler.is_compiling()


NOTHING = Epilogue()
