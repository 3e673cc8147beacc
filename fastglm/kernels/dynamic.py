"""Products with activations that are rounded to int8 as they come, by oneDNN: for many rows on a CPU.

oneDNN wants one side of a product packed in an order of its own and takes the other as it lies. Activations are few and
weights many, so the activations are packed, and the weights stay in the layout that decoding reads.
"""

from functools import cache

import torch
from torch import Tensor


class Int8Activations:
    """Rows of activations in int8, each with a scale of its own, ready to be multiplied by any number of weights."""

    def __init__(self, x: Tensor, limit: int) -> None:
        """x: [n, columns]; its numbers become integers in ± `limit`."""
        x = x.float()
        self.scale = (x.abs().amax(1) / limit).clamp(min=1e-30)
        numbers = (x / self.scale[:, None]).round_().to(torch.int8)
        self._zeros = torch.zeros(len(x), dtype=torch.int32)
        self._packed = torch.ops.onednn.qlinear_prepack(numbers, list(x.shape))

    def times(self, numbers: Tensor, zero: int) -> Tensor:
        """(numbers - zero) @ x.T for uint8 numbers [rows, columns] → fp32 [rows, n]."""
        return torch.ops.onednn.qlinear_pointwise(
            numbers, 1.0, zero, self._packed, self.scale, self._zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )


@cache
def saturates() -> bool:
    """Whether sums of two uint8 · int8 are cut to 16 bits, as on x86 without VNNI: one side must then have 7 bits.

    https://uxlfoundation.github.io/oneDNN/dev_guide_int8_computations.html
    """
    product = Int8Activations(torch.ones(16, 64), 127).times(torch.full((16, 64), 255, dtype=torch.uint8), 0)
    return not torch.allclose(product, torch.tensor(255.0 * 64), rtol=1e-3)
