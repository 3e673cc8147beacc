"""Greedy answers of a model that runs layer by layer: every token reads all weights once, for all rows together."""

from collections import deque
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batching import TOKENS_AT_ONCE, batches, shortest_first
from ..models.dynamic_cache import make_cache
from ..models.layerwise import LayerwiseModel
from ..models.packing import Passage


@torch.inference_mode()
def layerwise_answers(
    model: LayerwiseModel, prompts: Sequence[list[int]], longest: int, room: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of each prompt with the token ids of its answer, when the answer ends.

    Rows run side by side in groups of about equally long prompts. A finished row leaves; when half of the room is free,
    the next group joins, so that few rows never run alone for long.

    Args:
        longest: tokens of an answer, including the one that ends it.
        room: bytes for keys and values; at least one row runs, however little that is.
    """
    waiting = deque(shortest_first([len(prompt) for prompt in prompts]))
    room //= model.checkpoint.config.cache_bytes(model.dtype)  # new tokens from here on
    groups: list[_Group] = []
    while waiting or groups:
        held = sum(group.tokens for group in groups)
        if waiting and 2 * held <= room:
            sizes = [len(prompts[number]) for number in waiting]
            numbers = [waiting.popleft() for _ in range(_fitting(sizes, longest, room - held))]
            groups.append(_Group(model, prompts, numbers, longest))
        chosen = model.next_tokens([group.passage for group in groups])
        for group, tokens in zip(groups, chosen, strict=True):
            yield from group.take(tokens)
        groups = [group for group in groups if group.numbers]


def _fitting(sizes: Sequence[int], longest: int, room: int) -> int:
    """The number of prompts, shortest first, that fit with their answers; at least one."""
    whole = batches([size + longest for size in sizes], room)
    return min(len(next(whole)), len(next(batches(sizes, TOKENS_AT_ONCE))))


class _Group:
    """Rows that began together, padded on the left, and their answers so far."""

    def __init__(
        self, model: LayerwiseModel, prompts: Sequence[list[int]], numbers: Sequence[int], longest: int
    ) -> None:
        pad, width = model.checkpoint.pad, max(len(prompts[number]) for number in numbers)
        ids = torch.tensor([[pad] * (width - len(prompts[n])) + prompts[n] for n in numbers])
        real = torch.arange(width) >= torch.tensor([[width - len(prompts[n])] for n in numbers])
        plan = model.empty.plan(ids, real.long())
        self.numbers = list(numbers)
        cache = make_cache(model.checkpoint.config)
        self.passage = Passage(ids, plan.position_ids, plan.attention_mask, cache=cache).to(model.device)
        self._answers: list[list[int]] = [[] for _ in numbers]
        stride = model.checkpoint.config.position_stride
        self._stride = torch.tensor(stride, device=model.device)[:, None]
        self._stop, self._longest, self._most = model.empty.stop_tokens, longest, width + longest

    @property
    def tokens(self) -> int:
        """The largest number of tokens of the rows."""
        return len(self.numbers) * self._most

    def take(self, tokens: Tensor) -> Iterator[tuple[int, list[int]]]:
        """Take the next token of every row, [rows]; yields number and answer of the rows that it ends."""
        going = []
        for row, token in enumerate(tokens.tolist()):
            answer = self._answers[row]
            answer.append(token)
            if token in self._stop or len(answer) == self._longest:
                yield self.numbers[row], answer
            else:
                going.append(row)
        self._go_on(going, tokens)

    def _go_on(self, going: list[int], tokens: Tensor) -> None:
        """Continue with these rows and their new tokens."""
        cache, rows = self.passage.cache, torch.tensor(going, dtype=torch.long, device=tokens.device)
        assert cache is not None
        if len(going) < len(self.numbers):
            self.numbers = [self.numbers[row] for row in going]
            self._answers = [self._answers[row] for row in going]
            cache.batch_select_indices(rows)
        positions = self.passage.position_ids[rows, :, -1:] + self._stride
        seen = F.pad(self.passage.attention_mask[rows, :, -1:], (0, 1), value=True)
        self.passage = Passage(tokens[rows, None], positions, seen, cache=cache)
