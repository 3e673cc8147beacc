"""Random matrices, and the kernels whose products with them are tested."""

import torch

from fastglm.kernels.cpu import library
from fastglm.kernels.cpu.int4 import NativeInt4Kernel, PanelInt4Kernel
from fastglm.kernels.cpu.int8 import CpuInt8Kernel, PanelInt8Kernel
from fastglm.kernels.formats import Int4

IN_INT16 = 1e-4  # relative error of activations rounded to int16


def random(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def native_int4():
    """The kind of kernel that `select` chooses for int4 on this processor."""
    return PanelInt4Kernel if library.has_vnni() else NativeInt4Kernel


def native_kernel(format):
    if isinstance(format, Int4):
        return native_int4()(format)
    return (PanelInt8Kernel if library.has_vnni() else CpuInt8Kernel)(format)


def in_int8(format, n, columns):
    """Tell whether this number of rows of activations is rounded to int8."""
    return isinstance(format, Int4) or (n >= (8 if columns <= 1024 else 24) and library.has_vnni())


def largest_number(format, n, columns):
    """The largest of the whole numbers to which activations are rounded."""
    if in_int8(format, n, columns):
        return 127
    return 127 * 256 + 127 if library.has_vnni() else 32767  # two numbers of int8, or one of int16
