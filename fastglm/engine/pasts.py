"""Pasts: keys and values of ended requests, for the next ones, which then read only the new part of their prompts.

A causal model gives the tokens at the beginning of a prompt the same keys and values, whatever follows. Only requests
of the same owner share them: the time to the first token would tell others which prompts have been read (the reason for
`cache_salt` in vLLM). The longest common prefix counts, as in llama.cpp (`cache_prompt`), and not whole blocks.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import MemoryShortError
from ..kernels.exact import is_exact
from ..system.devices import free_memory
from ..system.memory import room_for
from .slots import Slot, Slots

MOST = 16  # pasts of a model: as many as the rows of its largest step
LEAST = 8  # shared tokens; the beginning that all conversations have in common is not worth a copy
SHARE = 4  # the pasts of a model take at most this part of the memory that is free without them


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """The first tokens of an ended request, with their keys and values."""

    owner: str
    tokens: Tensor  # [tokens], on the CPU
    held: list[list[Tensor]]  # of each stage: rows of `KVCache.held`, [kv_heads, learned + tokens, width]

    @property
    def memory(self) -> int:
        """Bytes of keys and values."""
        return sum(tensor.nbytes for stage in self.held for tensor in stage)

    def shared(self, owner: str, prompt: Tensor) -> int:
        """The number of tokens at its beginning that a prompt of `owner` begins with too."""
        return common(self.tokens, prompt) if owner == self.owner else 0


class Pasts:
    """The pasts of one model, the least recently used one first. They are valid for the weights that made them."""

    def __init__(self) -> None:
        self._pasts: list[Past] = []
        self._made_by: Any = None
        self.weights = 0  # number of the present weights, counted up with each change

    def __len__(self) -> int:
        return len(self._pasts)

    @property
    def memory(self) -> int:
        """Bytes of keys and values."""
        return sum(past.memory for past in self._pasts)

    def find(self, model: Any, owner: str, prompt: Tensor) -> tuple[Past, int] | None:
        """The past that shares the longest prefix with a prompt, and the tokens to take from it: never all tokens of
        the prompt, because the logits of the last one are needed. None if no past is worth it.
        """
        self._check(model)
        shared = [past.shared(owner, prompt[:-1]) for past in self._pasts]
        longest = max(shared, default=0)
        if longest < LEAST:
            return None
        past = self._pasts.pop(shared.index(longest))
        self._pasts.append(past)
        return past, longest

    def add(self, model: Any, tokens: Sequence[int], slots: Slots, slot: Slot, length: int) -> None:
        """Keep the first tokens of a request, whose keys and values are the first `length` of its slot; nothing if the
        weights have changed since it began.

        Pasts that it continues are dropped, and the oldest ones if there are many or memory is short.
        """
        self._check(model)
        owner, kept = str(slot.owner), torch.tensor(tokens)
        is_known = any(past.shared(owner, kept) == len(kept) for past in self._pasts)
        needed, budget = slots.token_memory * length, (_free(slots.devices) + self.memory) // SHARE
        if slot.weights != self.weights or len(kept) < LEAST or is_known or needed > budget:
            return
        self._pasts = [past for past in self._pasts if past.shared(owner, kept) < len(past.tokens)]
        while len(self._pasts) >= MOST or self.memory + needed > budget:
            self.drop()
        with suppress(MemoryShortError), room_for("the past of a conversation", "it is read again"):
            self._pasts.append(Past(owner, kept, slots.copied(slot, length)))

    def drop(self) -> bool:
        """Drop the least recently used past; returns False if there is none."""
        if self._pasts:
            del self._pasts[0]
            return True
        return False

    def _check(self, model: Any) -> None:
        """Drop all pasts if the model is not the one that made them any more."""
        found = _state(model)
        if found != self._made_by:
            self._pasts, self._made_by = [], found
            self.weights += 1


def common(tokens: Tensor, others: Tensor) -> int:
    """The number of equal tokens at the beginning of two sequences."""
    most = min(len(tokens), len(others))
    differ = (tokens[:most] != others[:most]).nonzero()
    return int(differ[0]) if len(differ) else most


def _state(model: Any) -> Any:
    """A value that changes with the model's weights, dtype or cache: tensors count changes in place themselves."""
    tensors = (*model.parameters(), *model.buffers())
    versions = [(each.data_ptr(), 0 if each.is_inference() else each._version, each.requires_grad) for each in tensors]
    return model.dtype, model.config.cache_format, is_exact(model), versions


def _free(devices: Collection[torch.device]) -> int:
    """Bytes that can be allocated on the fullest of some devices, including those that PyTorch holds unused."""
    free = []
    for device in devices:
        is_cuda = device.type == "cuda"
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device) if is_cuda else 0
        free.append(free_memory(device) + unused)
    return min(free)
