"""Tensors in huge pages of main memory. A processor remembers the addresses of a few thousand pages, and those of small
pages do not reach over the weights that a step reads.

Linux gives huge pages to memory that asks for them before its first use (kernel documentation, "Transparent Hugepage
Support").
"""

import math
import mmap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

PAGE = 2 << 20  # bytes
SMALLEST = 2 * PAGE  # bytes of a tensor that gets huge pages
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor that is not filled, in huge pages if it is large, in main memory, and the system gives them."""
    size = math.prod(shape) * dtype.itemsize
    if not _is_worth(size, device):
        return torch.empty(shape, dtype=dtype, device=device)
    try:
        memory = mmap.mmap(-1, size + PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        begin = -torch.frombuffer(memory, dtype=torch.uint8).data_ptr() % PAGE
        # The end of the tensor stays in small pages: it does not fill a huge one.
        memory.madvise(mmap.MADV_HUGEPAGE, begin, size // PAGE * PAGE)
    except OSError:  # PyTorch knows how to tell that memory is short
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.frombuffer(memory, dtype=dtype, count=math.prod(shape), offset=begin).view(tuple(shape))


def moved(tensor: Tensor) -> Tensor:
    """A copy of a tensor in huge pages, or the tensor itself if `empty` would give none."""
    if not _is_worth(tensor.nbytes, tensor.device):
        return tensor
    return empty(tensor.shape, tensor.dtype, tensor.device).copy_(tensor)


def _is_worth(size: int, device: torch.device) -> bool:
    return device.type == "cpu" and size >= SMALLEST and are_given()


@cache
def are_given() -> bool:
    """Tell whether the system gives huge pages on request."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return False
    try:
        setting = SETTING.read_text()
    except OSError:
        return False
    return "[always]" in setting or "[madvise]" in setting
