"""A test of kernels on a device: each is tried once on small products, and compared with the reference."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .format import WeightFormat
    from .kernel import Kernel

log = logging.getLogger(__name__)
ROWS, COLUMNS = 64, 256  # rows and columns of the test weights
SIZES = (1, 16, 300)  # rows of activations: a kernel may have different ways for few and for many

_found: dict[tuple[str, torch.device, torch.dtype], int | None] = {}


def first_that_works(
    format: "WeightFormat", kernels: Sequence["Kernel"], device: torch.device, dtype: torch.dtype
) -> "Kernel | None":
    """The first of `kernels`, given fastest first, that works on the device with activations in `dtype`; None if none
    does.

    If the first one does not work, a warning says once why, and which kernel replaces it.
    """
    key = (format.name, device, dtype)
    if key not in _found:
        _found[key] = _find(format, kernels, device, dtype)
    number = _found[key]
    return None if number is None else kernels[number]


def _find(format: "WeightFormat", kernels: Sequence["Kernel"], device: torch.device, dtype: torch.dtype) -> int | None:
    reasons: list[str] = []
    found = None
    for number, kernel in enumerate(kernels):
        reason = trouble(format, kernel, device, dtype)
        if reason is None:
            found = number
            break
        reasons.append(f"{type(kernel).__name__}: {reason}")
    if reasons:
        used = "reference path" if found is None else type(kernels[found]).__name__
        log.warning("%s on %s uses the slower %s (%s).", format.name, device, used, "; ".join(reasons))
    return found


def trouble(format: "WeightFormat", kernel: "Kernel", device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why a kernel does not work: an error (building may fail in many ways) or a wrong product. None if it
    works.
    """
    generator = torch.Generator().manual_seed(0)
    parts = format.pack(torch.randn(ROWS, COLUMNS, generator=generator))
    x = torch.randn(SIZES[-1], COLUMNS, generator=generator)
    expected = x @ format.unpack(parts, COLUMNS).T
    try:
        held = kernel.prepare({name: part.to(device) for name, part in parts.items()}, ROWS, COLUMNS)
        results = [kernel.multiply(x[:n].to(device, dtype), held, ROWS, COLUMNS).float().cpu() for n in SIZES]
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    for n, result in zip(SIZES, results, strict=True):
        if not (result - expected[:n]).norm() < 0.02 * expected[:n].norm():
            return f"wrong for {n} rows"
    return None
