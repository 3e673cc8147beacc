"""Weight-only arithmetic for a while: what the rounding of weights costs, without that of activations beside it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from .packed import PackedWeight


@contextmanager
def exact_arithmetic(model: nn.Module) -> Iterator[None]:
    """Multiplies activations as they are within the block, never rounded: in fp32 where the model is loaded so.

    Weights stay where they lie, also those that a compiled step reads; a block of rows at a time is unpacked to fp32.
    The fast kernels are back after the block, as they were.
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
    """Tell whether a model has packed weights, all of which multiply activations as they are."""
    packed = _packed(model)
    return bool(packed) and all(module.exact for module in packed)


def _packed(model: nn.Module) -> list[PackedWeight]:
    return [module for module in model.modules() if isinstance(module, PackedWeight)]
