"""A preallocated KV cache: buffers written in place, read up to a window that moves in steps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.cache import pack, unpack

# The window that a step reads is a multiple of this, so that its shapes stay the same for as many steps.
STEP = 64
ROOM = 128  # tokens that the buffers of an answer hold beyond the prompt before they grow


def capacity_after(prompt: int, answer: int) -> int:
    """Tokens that the fast engine's buffers hold at the end of an answer; both lengths in tokens."""
    capacity = -(-(prompt + min(answer, ROOM)) // STEP) * STEP
    while capacity < prompt + answer - 1:  # the last token is not run, and needs no room
        capacity *= 2
    return capacity


class StaticCache:
    """Keys and values of every layer, [1, heads, capacity, head_dim] each, or packed as int8; heads may differ between
    layers.

    A prompt is written at the beginning. Afterwards `advance` makes place for one more token, at `position`.
    """

    def __init__(
        self,
        heads: Sequence[int],
        head_dim: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device,
        is_int8: bool = False,
    ) -> None:
        self.capacity = -(-capacity // STEP) * STEP
        self.length = 0
        self.window = 0
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        # 0 where a token is, minus infinity behind the last one.
        self.mask = torch.full((1, 1, 1, self.capacity), -torch.inf, dtype=dtype, device=device)
        self.dtype, self.is_int8 = dtype, is_int8
        width, held = (head_dim + dtype.itemsize, torch.int8) if is_int8 else (head_dim, dtype)
        self.keys, self.values = (
            [torch.zeros(1, n, self.capacity, width, dtype=held, device=device) for n in heads] for _ in range(2)
        )

    def get_seq_length(self) -> int:
        """Tokens before those being run."""
        return max(self.length - 1, 0) if self.window else 0

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Writes new keys and values, [1, heads, new, head_dim], and returns those to attend to."""
        new = (pack(k), pack(v)) if self.is_int8 else (k, v)
        held = (self.keys[layer], self.values[layer])
        if not self.window:
            for buffer, x in zip(held, new, strict=True):
                buffer[:, :, : x.shape[2]] = x
            return k, v
        for buffer, x in zip(held, new, strict=True):
            buffer.index_copy_(2, self.position, x)
        seen_k, seen_v = (buffer[:, :, : self.window] for buffer in held)
        return (unpack(seen_k, self.dtype), unpack(seen_v, self.dtype)) if self.is_int8 else (seen_k, seen_v)

    def prefilled(self, length: int) -> None:
        """Says that a prompt of `length` tokens is in."""
        self.length = length
        self.mask[..., :length] = 0.0

    def advance(self) -> Tensor:
        """Makes place for one token; returns its mask, [1, 1, 1, window]. The buffers double when they are full."""
        if self.length == self.capacity:
            self._grow(2 * self.capacity)
        self.position.fill_(self.length)
        self.mask[..., self.length] = 0.0
        self.length += 1
        self.window = -(-self.length // STEP) * STEP
        return self.mask[..., : self.window]

    @property
    def memory(self) -> int:
        """Bytes of keys and values."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def _grow(self, capacity: int) -> None:
        more = capacity - self.capacity
        self.mask = torch.nn.functional.pad(self.mask, (0, more), value=-torch.inf)
        for held in (self.keys, self.values):
            for layer, tensor in enumerate(held):
                held[layer] = torch.nn.functional.pad(tensor, (0, 0, 0, more))
        self.capacity = capacity
