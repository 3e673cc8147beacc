"""The choice of the fastest kernel for a packed matrix on a device."""

import torch

from .cpu import int4 as cpu_int4
from .cpu import int8 as cpu_int8
from .cuda.kernel import TritonKernel
from .format import WeightFormat
from .int4 import Int4
from .int8 import Int8
from .kernel import Kernel
from .probe import first_that_works
from .weight_only import Int8Kernel, TiledInt4Kernel


def kernel_for(format: WeightFormat, device: torch.device, dtype: torch.dtype) -> Kernel | None:
    """The fast kernel for a format, a device and a dtype of activations; None if only the reference works."""
    kernels: list[Kernel]
    match format:
        case Int8():
            if device.type == "cpu":
                return cpu_int8.cpu_kernel(format)
            kernels = [Int8Kernel(dtype)]
            fused = TritonKernel(format, 8, None)
        case Int4():
            if device.type == "cpu":
                return cpu_int4.cpu_kernel(format)
            kernels = [TiledInt4Kernel(format)]
            fused = TritonKernel(format, 4, format.group)
        case _:
            return None
    return first_that_works(format, [fused, *kernels] if device.type == "cuda" else kernels, device, dtype)
