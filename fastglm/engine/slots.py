"""Slots: the places of running requests in the KV cache of a model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import MemoryShortError
from .kv_cache import KVCache


class Slot:
    """The place of one request; its row may change when another request leaves."""

    __slots__ = ("length", "owner", "reused", "row", "weights")

    def __init__(self, row: int) -> None:
        self.row, self.length = row, 0  # number of tokens in the slot
        self.reused = 0  # tokens of the prompt that an earlier request has read
        self.owner: str | None = None  # of the request, if it leaves a past
        self.weights = 0  # number of the weights that the request began with (`Pasts.weights`)


class Slots:
    """The slots in the caches of all stages of a model.

    Taken slots lie in the first rows: when one is freed, the last one moves into its place. So a step reads
    neighbouring rows of the buffers. The number of slots is 1, 2, 4, 8, 16, …, or fewer if memory is short.
    """

    def __init__(self, caches: Sequence[KVCache]) -> None:
        self._caches = caches
        self.taken: list[Slot] = []  # by row
        self.count = 0  # slots, taken or free
        self.capacity = 0  # tokens that each has room for
        self.slot_memory = 0  # bytes of keys and values of one

    def take(self, count: int, capacity: int) -> list[Slot]:
        """Take new slots; all get space for at least `capacity` tokens. Raises MemoryShortError, and then takes
        none.
        """
        needed = len(self.taken) + count
        if needed > self.count:
            try:
                self._resize(1 << (needed - 1).bit_length(), capacity)
            except MemoryShortError:
                self._resize(needed, capacity)
        else:
            self._resize(needed, capacity)
        slots = [Slot(len(self.taken) + number) for number in range(count)]
        self.taken += slots
        return slots

    def reserve(self, tokens: int) -> None:
        """Make space for `tokens` tokens in each slot; full buffers double. Raises MemoryShortError."""
        if tokens > self.capacity:
            self._resize(self.count, max(2 * self.capacity, tokens))

    def free(self, slot: Slot) -> None:
        """Give a slot back."""
        last = self.taken.pop()
        for cache in self._caches:
            cache.clear(slot.row, slot.length)
            if last is not slot:
                cache.move(last.row, slot.row, last.length)
                cache.clear(last.row, last.length)
        if last is not slot:
            self.taken[slot.row], last.row = last, slot.row

    def copied(self, slot: Slot, length: int) -> list[list[Tensor]]:
        """Run `KVCache.copied` for all stages."""
        return [cache.copied(slot.row, length) for cache in self._caches]

    def put(self, slot: Slot, copied: Sequence[Sequence[Tensor]], length: int) -> None:
        """Begin a new slot with the first `length` of copied tokens."""
        for cache, kept in zip(self._caches, copied, strict=True):
            cache.put(slot.row, kept, length)
        slot.length = length

    def rewind(self, slot: Slot, count: int) -> None:
        """Run `KVCache.rewind` for all stages."""
        for cache in self._caches:
            cache.rewind(slot.row, count)

    def settle(self, rows: range) -> None:
        """Run `KVCache.settle` for all stages, after a step that failed."""
        lengths = [self.taken[row].length if row < len(self.taken) else 0 for row in rows]
        for cache in self._caches:
            for row, length in zip(rows, lengths, strict=True):
                cache.settle(row, length)

    @property
    def devices(self) -> set[torch.device]:
        """The devices of the stages."""
        return {cache.device for cache in self._caches}

    @property
    def token_memory(self) -> int:
        """Bytes of keys and values of one token."""
        return sum(cache.token_memory for cache in self._caches)

    @property
    def memory(self) -> int:
        """Bytes of keys and values, of all slots."""
        return sum(cache.memory for cache in self._caches)

    def _resize(self, slots: int, capacity: int) -> None:
        for cache in self._caches:
            cache.resize(slots, capacity)
        self.count = min(cache.slots for cache in self._caches)
        self.capacity = min(cache.capacity for cache in self._caches)
        self.slot_memory = self.memory // self.count
