"""What follows a linear map at once, so that a kernel may do it before it writes its sums."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class After:
    """Add `bias` [rows], take GELU in its tanh form, add `scale · residual`, in this order; what is not asked for is
    left out."""

    bias: Tensor | None = None
    gelu: bool = False
    residual: Tensor | None = None  # of the shape of the product
    scale: float = 1.0

    def apply(self, product: Tensor, dtype: torch.dtype) -> Tensor:
        """product: [..., rows] in `dtype` or a narrower one → [..., rows] in `dtype`."""
        # Adding the wider bias also widens the product, in one pass.
        y = (product if self.bias is None else product + self.bias).to(dtype)
        if self.gelu:
            y = F.gelu(y, approximate="tanh")
        return y if self.residual is None else torch.add(y, self.residual, alpha=self.scale)


NOTHING = After()
