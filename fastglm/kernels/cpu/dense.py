"""Plain weights on a CPU: a product with few rows of activations reads the weights once, with all threads."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import library

MOST_ROWS = 16  # most rows of activations; with more, PyTorch's product is faster


class FewRowsLinear(nn.Linear):
    """`nn.Linear` in fp32, on this package's own kernel if that is faster."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply to the input, [..., columns] → [..., rows]."""
        rows = math.prod(input.shape[:-1])  # not `numel`, which would fix the number in a compiled step
        fits = input.is_cpu and input.dtype == self.weight.dtype == torch.float32 and rows <= MOST_ROWS
        if not fits or torch.is_grad_enabled() or not library.ready():
            return F.linear(input, self.weight, self.bias)
        flat = input.flatten(0, -2).contiguous()
        product = torch.ops.fastglm.float_product(flat, self.weight).unflatten(0, input.shape[:-1])
        return product if self.bias is None else product + self.bias


def use_few_rows_kernel(model: nn.Module) -> None:
    """Turn every `nn.Linear` of a model into a `FewRowsLinear` with the same weights."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = FewRowsLinear
