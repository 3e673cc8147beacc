"""Logits over the whole vocabulary, computed from final states with a head that is read one block of rows at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .checkpoint import Checkpoint

HEAD_ROWS = 8192  # rows of the head at once


@dataclass(frozen=True, slots=True)
class FinalStates:
    """A model's last states at the predicting tokens, and results that need no other model."""

    states: Tensor  # [targets, hidden size], after the final norm
    best: Tensor  # [targets], int32: the likeliest token, the first of equals
    losses: Tensor  # [targets], float32: cross-entropy of the target token, in nats

    def split(self, sizes: Sequence[int]) -> list["FinalStates"]:
        """Split into parts of these numbers of targets."""
        parts = zip(self.states.split(sizes), self.best.split(sizes), self.losses.split(sizes), strict=True)
        return [FinalStates(*part) for part in parts]


class Head:
    """The head of a checkpoint, which stays on the disk."""

    def __init__(self, checkpoint: Checkpoint, tokens: Tensor | None = None) -> None:
        """Create the head of a checkpoint.

        Args:
            tokens: the only tokens that get logits, in this order; None: the whole vocabulary.
        """
        self._checkpoint, self._tokens = checkpoint, tokens
        self._name = checkpoint.head

    @property
    def size(self) -> int:
        """The number of tokens that have logits."""
        return self._checkpoint.config.vocab_size if self._tokens is None else len(self._tokens)

    def weight(self) -> Tensor:
        """The matrix as it is stored, mapped from its file if possible."""
        return self._checkpoint.named([self._name])[self._name]

    def logits(self, states: Tensor) -> Tensor:
        """Logits [targets, size] in float32 of states [targets, hidden size], multiplied in their own precision."""
        found = torch.empty(len(states), self.size, device=states.device)
        for first, rows in self._blocks():
            found[:, first : first + len(rows)] = states @ rows.to(states.device, states.dtype).T
        return found

    def finals(self, states: Tensor, targets: Tensor) -> FinalStates:
        """The states with their likeliest tokens and the losses of `targets`, without all logits in memory."""
        count, device = len(states), states.device
        best = torch.zeros(count, dtype=torch.int32, device=device)
        largest, total = (torch.full((count,), -torch.inf, device=device) for _ in range(2))
        target = torch.empty(count, device=device)
        for first, rows in self._blocks():
            part = (states @ rows.to(device, states.dtype).T).float()
            total = torch.logaddexp(total, part.logsumexp(-1))
            values, places = part.max(-1)
            higher = values > largest  # an equal one of an earlier block stays
            best[higher], largest[higher] = (places[higher] + first).int(), values[higher]
            inside = (targets >= first) & (targets < first + len(rows))
            target[inside] = part[inside].gather(-1, (targets[inside] - first)[:, None])[:, 0]
        return FinalStates(states, best, total - target)

    def _blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the rows in blocks, each with the number of its first row; the file is opened again for each."""
        for first in range(0, self.size, HEAD_ROWS):
            chosen = slice(first, first + HEAD_ROWS)
            yield first, self.weight()[chosen if self._tokens is None else self._tokens[chosen]]
