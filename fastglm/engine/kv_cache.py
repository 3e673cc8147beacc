"""A preallocated KV cache: buffers of several slots, written in place, read up to a window that moves in steps."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..capacity import whole_steps
from ..kernels import huge_pages
from ..kernels.quantized_cache import Quantised, quantise
from ..placement import Stage
from ..system.memory import room_for

LESS = "keep keys and values as int8 (--cache int8), or pick a smaller variant"


class KVCache:
    """Keys and values of some layers, [slots, kv_heads, capacity, head_dim] each; in int8 each followed by its scales,
    [slots, kv_heads, capacity, 1]. Heads may differ between layers, which begin at `first_layer`.

    The state of a slot lies on the device and is moved by the step: the `place` of its next token, the `position` of
    that token, and the `stride`, the change of positions from token to token. A new cache has no slots.
    """

    def __init__(
        self,
        heads: Sequence[int],
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        is_int8: bool = False,
        first_layer: int = 0,
        position_kinds: int = 2,
    ) -> None:
        self.device, self.is_int8, self.first_layer = device, is_int8, first_layer
        # A captured graph reads the memory it was captured with: all of the buffers.
        self.reads_all = device.type == "cuda"
        self.slots = self.capacity = 0
        self.place = torch.zeros(0, dtype=torch.long, device=device)
        self.position = self.stride = torch.zeros(0, position_kinds, 1, dtype=torch.long, device=device)
        self.columns = torch.zeros(0, dtype=torch.long, device=device)
        self.held: list[Tensor] = []  # keys, then values, of one layer after the other
        kinds = [(head_dim, torch.int8), (1, dtype)] if is_int8 else [(head_dim, dtype)]
        self._shapes = [(n, width, kind) for n in heads for width, kind in 2 * kinds]
        self.token_memory = sum(n * width * kind.itemsize for n, width, kind in self._shapes)  # of one token of a slot
        self._views: dict[tuple[int, int, int], list[Tensor]] = {}

    def resize(self, slots: int, capacity: int) -> None:
        """Make space for a number of slots and of tokens in each; existing content stays.

        Raises MemoryShortError if memory is too short; nothing is lost then.
        """
        slots, capacity = max(slots, self.slots), max(capacity, self.capacity)
        if (slots, capacity) == (self.slots, self.capacity):
            return
        self._views.clear()
        more = (0, 0, 0, capacity - self.capacity, 0, 0, 0, slots - self.slots)
        try:
            with self._room_for(slots, capacity):
                if not self.held:
                    self.held = [
                        huge_pages.empty((slots, n, capacity, width), kind, self.device).zero_()
                        for n, width, kind in self._shapes
                    ]
                else:
                    for number, tensor in enumerate(self.held):
                        self.held[number] = huge_pages.moved(torch.nn.functional.pad(tensor, more))
        finally:
            if any(tensor.shape[::2] != (slots, capacity) for tensor in self.held[-1:]):  # it failed on the way
                self.held = [tensor[: self.slots, :, : self.capacity].contiguous() for tensor in self.held]
        new = slots - self.slots
        self.place = torch.cat((self.place, self.place.new_zeros(new)))
        self.position, self.stride = (
            torch.cat((each, each.new_zeros(new, *each.shape[1:]))) for each in (self.position, self.stride)
        )
        self.columns = torch.arange(capacity, device=self.device)
        self.slots, self.capacity = slots, capacity

    def begin(self, rows: Sequence[int], lengths: Sequence[int], following: Tensor) -> None:
        """Record that prompts of these lengths are in.

        Args:
            following: [rows, kinds, 2], the positions of the two tokens after each; later tokens continue in the same
            way.
        """
        index = torch.tensor(rows, device=self.device)
        self.place[index] = torch.tensor(lengths, device=self.device)
        self.position[index] = following[:, :, :1]
        self.stride[index] = following[:, :, 1:] - following[:, :, :1]

    def inputs(self, first: int, rows: int, tokens: int) -> list[Tensor]:
        """The inputs of a step after its ids, for neighbouring rows, the longest of which ends at `tokens` after the
        step.
        """
        window = self.capacity if self.reads_all else whole_steps(tokens)
        views = self._views.get((first, rows, window))
        if views is None:
            of = slice(first, first + rows)
            moving = [each[of] for each in (self.place, self.position, self.stride)]
            views = [*moving, self.columns[:window], *(tensor[of] for tensor in self.held)]
            self._views[first, rows, window] = views
        return views

    def rewind(self, row: int, count: int) -> None:
        """Forget the last `count` tokens of a row, after the step that wrote them."""
        of = slice(row, row + 1)
        self.place[of] -= count
        self.position[of] -= count * self.stride[of]

    def settle(self, row: int, length: int) -> None:
        """Forget what a row has beyond `length` tokens."""
        self.rewind(row, int(self.place[row]) - length)

    def move(self, source: int, target: int, length: int) -> None:
        """Put one row in the place of another."""
        for each in (self.place, self.position, self.stride):
            each[target] = each[source]
        for tensor in self.held:
            tensor[target, :, :length] = tensor[source, :, :length]

    def clear(self, row: int, length: int) -> None:
        """Empty a row; it might hold NaN, which no mask would hide from the next request."""
        self.place[row] = 0
        for tensor in self.held:
            tensor[row, :, :length] = 0

    def copied(self, row: int, length: int) -> list[Tensor]:
        """The first tokens of a row, [kv_heads, length, width] of each buffer."""
        return [tensor[row, :, :length].clone() for tensor in self.held]

    def put(self, row: int, copied: Sequence[Tensor], length: int) -> None:
        """Write the first of copied tokens into a row; `begin` must follow."""
        for tensor, kept in zip(self.held, copied, strict=True):
            tensor[row, :, :length] = kept[:, :length]

    @property
    def memory(self) -> int:
        """Bytes of keys and values."""
        return self.token_memory * self.slots * self.capacity

    def _room_for(self, slots: int, capacity: int) -> AbstractContextManager[None]:
        """A block whose lack of memory is reported as the cache's."""
        many, way_out = ("", "clear the conversation") if slots == 1 else (f"{slots} × ", "ask less at once")
        needed = self.token_memory * slots * capacity - self.memory if self.device.type == "cpu" else 0
        return room_for(f"the keys and values of {many}{capacity} tokens", f"{way_out}, {LESS}", needed)


@dataclass(frozen=True, slots=True)
class PromptRows:
    """Rows of a cache that prompts are written into."""

    cache: KVCache
    rows: Sequence[int]
    padding: Sequence[int]  # number of padding tokens before each prompt, which are left out
    prefix: Any | None = None  # keys and values before those of each prompt (`models.prefix`)

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Write keys and values, [rows, kv_heads, tokens, head_dim]; attention uses them without rounding."""
        cache, learned = self.cache, 0
        if self.prefix:
            k, v = self.prefix.before(k, v, layer)
            learned = self.prefix.length
        for buffer, new in zip(
            _of_layer(cache.held, layer - cache.first_layer, cache.is_int8), _kept(k, v, cache.is_int8), strict=True
        ):
            for row, padding, x in zip(self.rows, self.padding, new, strict=True):
                buffer[row, :, :learned] = x[:, :learned]
                buffer[row, :, learned : x.shape[1] - padding] = x[:, learned + padding :]
        return k, v


@dataclass(frozen=True, slots=True)
class PromptRest:
    """A row of a cache that the rest of a prompt is written into, after the tokens that are in it already."""

    cache: KVCache
    row: int
    before: int  # number of tokens that are in it already

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Write keys and values, [1, kv_heads, tokens, head_dim]; returns those of all tokens, the new ones without
        rounding.
        """
        cache, end = self.cache, self.before + k.shape[2]
        held = _of_layer(cache.held, layer - cache.first_layer, cache.is_int8)
        for buffer, new in zip(held, _kept(k, v, cache.is_int8), strict=True):
            buffer[self.row, :, self.before : end] = new[0]
        seen = [buffer[self.row, None, :, :end] for buffer in held]
        if not cache.is_int8:
            return seen[0], seen[1]
        for number, new in ((0, k), (2, v)):
            whole = Quantised(*(x[:, :, : self.before] for x in seen[number : number + 2])).whole()
            seen[number] = torch.cat((whole, new), 2)
        return seen[0], seen[2]


def make_cache(model: Any, stage: Stage | None = None) -> KVCache:
    """A cache for a model, or for a stage of it, in the format of its config."""
    config = model.config
    layers, device = stage or (range(config.layers), model.device)
    heads, is_int8 = [config.kv_heads(layer) for layer in layers], config.cache_format == "int8"
    return KVCache(heads, config.head_dim, model.dtype, device, is_int8, layers.start, config.position_kinds)


class Window:
    """The part of a cache that one step sees."""

    def __init__(self, held: Sequence[Tensor], places: Tensor, size: int, is_int8: bool, first_layer: int = 0) -> None:
        """Create a window. held: `KVCache.held` of the step's rows; places: [rows, tokens], places of its tokens; size:
        number of places that are read.
        """
        self.held, self.places, self.size, self.is_int8 = held, places, size, is_int8
        self.first_layer = first_layer
        self._rows = torch.arange(places.shape[0], device=places.device)[:, None]

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor | Quantised, Tensor | Quantised]:
        """Write new keys and values, [rows, kv_heads, tokens, head_dim]; returns those to attend to."""
        for buffer, x in zip(self._of_layer(layer), _kept(k, v, self.is_int8), strict=True):
            buffer[self._rows, :, self.places] = x.transpose(1, 2)
        return self.seen(layer)

    def of_layer(self, layer: int) -> tuple[Sequence[Tensor], Tensor]:
        """The buffers of a layer, and the places of the step's tokens, for a kernel that writes them itself."""
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
    """Keys and values in the cache's format."""
    return (*quantise(k), *quantise(v)) if is_int8 else (k, v)
