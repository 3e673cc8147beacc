"""Whether a kernel works on a device: tried once on a small product, and compared with the reference."""

import logging
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .format import Kernel, WeightFormat

log = logging.getLogger(__name__)
_results: dict[tuple[str, str, torch.device, torch.dtype], bool] = {}


def works(format: "WeightFormat", kernel: "Kernel", device: torch.device, dtype: torch.dtype) -> bool:
    """Multiplies 64 × 256 weights by one row on the device; any error or a wrong result means no (said once)."""
    key = (format.name, type(kernel).__name__, device, dtype)
    if key not in _results:
        _results[key] = _try(format, kernel, device, dtype)
        if not _results[key]:
            log.warning("%s has no fast kernel on %s: the slower reference path is used.", format.name, device)
    return _results[key]


def _try(format: "WeightFormat", kernel: "Kernel", device: torch.device, dtype: torch.dtype) -> bool:
    generator = torch.Generator().manual_seed(0)
    parts = format.pack(torch.randn(64, 256, generator=generator))
    x = torch.randn(1, 256, generator=generator)
    expected = x @ format.unpack(parts, 256).T
    try:
        held = kernel.prepare({name: part.to(device) for name, part in parts.items()}, 64, 256)
        result = kernel.multiply(x.to(device, dtype), held, 64, 256).float().cpu()
    except (RuntimeError, NotImplementedError, AttributeError):
        return False
    return bool((result - expected).norm() < 0.02 * expected.norm())
