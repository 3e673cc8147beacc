"""Weights that are not packed, on a CPU: few rows of activations read them once, and on all threads."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import library

MOST_ROWS = 16  # of activations; more are PyTorch's, which then is the faster


class FewRowsLinear(nn.Linear):
    """`nn.Linear` in fp32, on this package's own kernel where that is the faster."""

    def forward(self, input: Tensor) -> Tensor:
        """input: [..., columns] → [..., rows]."""
        rows = math.prod(input.shape[:-1])  # not `numel`, which would fix the number in a compiled step
        fits = input.is_cpu and input.dtype == self.weight.dtype == torch.float32 and rows <= MOST_ROWS
        if not fits or torch.is_grad_enabled() or not library.ready():
            return F.linear(input, self.weight, self.bias)
        flat = input.flatten(0, -2).contiguous()
        product = torch.ops.fastglm.float_product(flat, self.weight).unflatten(0, input.shape[:-1])
        return product if self.bias is None else product + self.bias


def use_few_rows_kernel(model: nn.Module) -> None:
    """Makes every `nn.Linear` of a model a `FewRowsLinear`, with the same weights."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = FewRowsLinear
