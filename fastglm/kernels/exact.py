"""Exact weight-only arithmetic inside a block: it shows the cost of rounding weights, without rounded activations."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from .packed import PackedWeight


@contextmanager
def exact_arithmetic(model: nn.Module) -> Iterator[None]:
    """A block in which activations are multiplied exactly, never rounded: in fp32 if the model is loaded in fp32.

    Weights stay in place, including those that a compiled step reads; one block of rows at a time is unpacked to fp32.
    After the block the fast kernels work as before.
    """
    packed = _packed(model)
    before = [module.exact for module in packed]
    for module in packed:
        module.exact = True
    try:
        yield
    finally:
        for module, exact in zip(packed, before, strict=True):
            module.exact = exact


def is_exact(model: nn.Module) -> bool:
    """Tell whether a model has packed weights, and all of them multiply exact activations."""
    packed = _packed(model)
    return bool(packed) and all(module.exact for module in packed)


def _packed(model: nn.Module) -> list[PackedWeight]:
    return [module for module in model.modules() if isinstance(module, PackedWeight)]
