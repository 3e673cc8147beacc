"""A preallocated KV cache: buffers written in place, read up to a window that moves in steps."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..capacity import whole_steps
from ..kernels.quantized_cache import Quantised, quantise
from ..placement import Stage
from ..system.memory import room_for

NEVER = torch.iinfo(torch.long).max  # a place that no token comes to


class StaticCache:
    """Keys and values of every layer, [rows, heads, capacity, head_dim] each; as int8 each has its scales beside it,
    [rows, heads, capacity, 1]. Heads may differ between layers; of a stage, the layers begin at `first_layer`.

    Prompts are written at the beginning, and end at the same place: before shorter ones there is padding, which no step
    reads. Then `advance` makes place for tokens that a step writes, and `rewind` takes the last ones back. Where the
    next token goes and what its positions are lies on the device, moved by the step.

    Making it and `advance` raise MemoryShortError where there is no memory for it.
    """

    def __init__(
        self,
        heads: Sequence[int],
        head_dim: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device,
        is_int8: bool = False,
        rows: int = 1,
        first_layer: int = 0,
    ) -> None:
        self.rows = rows
        self.first_layer = first_layer
        self.capacity = whole_steps(capacity)
        self.length = 0
        self.window = 0
        self.is_int8 = is_int8
        # A captured graph reads what it was captured with: all of the buffers.
        self.reads_all = device.type == "cuda"
        self.place = torch.zeros(1, dtype=torch.long, device=device)
        self.position = self.stride = torch.zeros(rows, 2, 1, dtype=torch.long, device=device)
        self.padding: Tensor | None = None  # [rows, 1, 1, 1]
        self.columns = self._count_columns()
        kinds = [(head_dim, torch.int8), (1, dtype)] if is_int8 else [(head_dim, dtype)]
        self._each = 2 * rows * sum(heads) * sum(width * kind.itemsize for width, kind in kinds)  # bytes of a place
        self.held: list[Tensor] = []  # keys, then values, of one layer after the other
        with self._room_for(self.capacity):
            self.held += [
                torch.zeros(rows, n, self.capacity, width, dtype=kind, device=device)
                for n in heads
                for width, kind in 2 * kinds
            ]

    def update(
        self, k: Tensor, v: Tensor, layer: int, rows: slice = slice(None), first: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Writes the keys and values of prompts, [rows, heads, tokens, head_dim]; they are attended to as they come.

        Args:
            rows: that they are of.
            first: place that they begin at, padding counted.
        """
        for buffer, x in zip(self._of_layer(layer), _kept(k, v, self.is_int8), strict=True):
            buffer[rows, :, first : first + x.shape[2]] = x
        return k, v

    def prefilled(self, length: int, following: Tensor, padding: Tensor | None = None) -> None:
        """Says that prompts of `length` tokens, padding counted, are in.

        Args:
            following: [rows, 2, 2], the positions of the two tokens after each; those after them go on like that.
            padding: [rows], tokens that are none; None where there are none.
        """
        self.length = length
        self.place.fill_(length)
        self.position, self.stride = following[:, :, :1].clone(), following[:, :, 1:] - following[:, :, :1]
        if padding is not None:
            self.padding = padding[:, None, None, None]
            self.columns = self._count_columns()

    def advance(self, count: int = 1) -> list[Tensor]:
        """Makes place for `count` tokens; returns what `Step` takes after their ids. Full buffers double."""
        self.length += count
        if self.length > self.capacity:
            self._grow(max(2 * self.capacity, whole_steps(self.length)))
        self.window = self.capacity if self.reads_all else whole_steps(self.length)
        return [self.place, self.position, self.stride, self.columns[..., : self.window], *self.held]

    def rewind(self, count: int) -> None:
        """Forgets the last `count` tokens, after the step that wrote them."""
        self.length -= count
        self.place -= count
        self.position -= count * self.stride

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with these rows alone."""
        index = torch.tensor(rows, device=self.place.device)
        self._each = self._each // self.rows * len(rows)
        self.rows = len(rows)
        with self._room_for(self.capacity):
            for number, tensor in enumerate(self.held):
                self.held[number] = tensor[index]
        self.position, self.stride = self.position[index], self.stride[index]
        if self.padding is not None:
            self.padding, self.columns = self.padding[index], self.columns[index]

    @property
    def memory(self) -> int:
        """Bytes of keys and values."""
        return sum(tensor.nbytes for tensor in self.held)

    def _of_layer(self, layer: int) -> Sequence[Tensor]:
        return _of_layer(self.held, layer - self.first_layer, self.is_int8)

    def _grow(self, capacity: int) -> None:
        with self._room_for(capacity):
            for number, tensor in enumerate(self.held):
                self.held[number] = torch.nn.functional.pad(tensor, (0, 0, 0, capacity - self.capacity))
        self.capacity = capacity
        self.columns = self._count_columns()

    def _count_columns(self) -> Tensor:
        """The places of the cache, `NEVER` where they are padding: [capacity], or [rows, 1, 1, capacity]."""
        columns = torch.arange(self.capacity, device=self.place.device)
        return columns if self.padding is None else torch.where(columns < self.padding, NEVER, columns)

    def _room_for(self, capacity: int) -> AbstractContextManager[None]:
        """Says that it was the cache that found no memory."""
        needed = self._each * capacity - self.memory if self.place.device.type == "cpu" else 0
        many, way_out = ("", "clear the conversation") if self.rows == 1 else (f"{self.rows} × ", "ask less at once")
        way_out += ", keep them as int8 (--cache int8), or pick a smaller variant"
        return room_for(f"the keys and values of {many}{capacity} tokens", way_out, needed)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a cache, which prompts are written into."""

    cache: StaticCache
    rows: slice
    first: int  # place that they begin at, padding counted

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """As `StaticCache.update`."""
        return self.cache.update(k, v, layer, self.rows, self.first)


def make_cache(model: Any, capacity: int, rows: int = 1, stage: Stage | None = None) -> StaticCache:
    """An empty cache for a model, or for a stage of it, in the format that its config asks for."""
    config = model.config
    layers, device = stage or (range(config.num_layers), model.device)
    heads = [config.kv_heads(layer) for layer in layers]
    is_int8 = config.cache_format == "int8"
    return StaticCache(heads, config.head_dim, capacity, model.dtype, device, is_int8, rows, layers.start)


class Window:
    """What one step sees of a cache."""

    def __init__(self, held: Sequence[Tensor], places: Tensor, size: int, is_int8: bool, first_layer: int = 0) -> None:
        """held: `StaticCache.held`; places: [tokens], where the step's tokens go; size: how many places are read."""
        self.held, self.places, self.size, self.is_int8 = held, places, size, is_int8
        self.first_layer = first_layer

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor | Quantised, Tensor | Quantised]:
        """Writes new keys and values, [rows, heads, tokens, head_dim], and returns those to attend to."""
        for buffer, x in zip(self._of_layer(layer), _kept(k, v, self.is_int8), strict=True):
            buffer.index_copy_(2, self.places, x)
        return self.seen(layer)

    def of_layer(self, layer: int) -> tuple[Sequence[Tensor], Tensor]:
        """The buffers of a layer, and where a kernel that writes them itself is to put the step's tokens."""
        return self._of_layer(layer), self.places

    def seen(self, layer: int) -> tuple[Tensor | Quantised, Tensor | Quantised]:
        """The keys and values to attend to."""
        seen = [buffer[:, :, : self.size] for buffer in self._of_layer(layer)]
        return (Quantised(*seen[:2]), Quantised(*seen[2:])) if self.is_int8 else (seen[0], seen[1])

    def _of_layer(self, layer: int) -> Sequence[Tensor]:
        return _of_layer(self.held, layer - self.first_layer, self.is_int8)


def _of_layer(held: Sequence[Tensor], layer: int, is_int8: bool) -> Sequence[Tensor]:
    each = 4 if is_int8 else 2
    return held[each * layer : each * (layer + 1)]


def _kept(k: Tensor, v: Tensor, is_int8: bool) -> tuple[Tensor, ...]:
    """Keys and values as they are kept."""
    return (*quantise(k), *quantise(v)) if is_int8 else (k, v)
