"""The order of packed numbers for the Triton kernels (see `products`), with exact conversions on any device."""

import torch
import torch.nn.functional as F
from torch import Tensor

WORDS = 4  # in a unit of 16 bytes


def span(bits: int) -> int:
    """Number of columns in a unit."""
    return 128 // bits


def interleave(numbers: Tensor, bits: int) -> Tensor:
    """Pack signed numbers, int8 [rows, columns], into words, int32 [rows, 4 · units]; columns are padded to whole
    units.
    """
    numbers = F.pad(numbers, (0, -numbers.shape[1] % span(bits)))
    numbers = numbers.unflatten(1, (-1, 32 // bits, WORDS)).transpose(2, 3)  # [rows, units, words, numbers]
    if bits == 4:
        numbers = (numbers[..., 1::2] << 4) | (numbers[..., ::2] & 15)
    return numbers.flatten(1).contiguous().view(torch.int32)


def numbers_of(words: Tensor, bits: int) -> Tensor:
    """Convert back to int8 [rows, columns with the padding]."""
    held = words.contiguous().view(torch.int8).unflatten(1, (-1, WORDS, 4))
    if bits == 4:
        held = torch.stack(((held << 4) >> 4, held >> 4), -1).flatten(3)
    return held.transpose(2, 3).flatten(1)
