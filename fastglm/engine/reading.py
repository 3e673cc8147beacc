"""Prompts on their way through the layers of a model, all layers in one go or one at a time."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .kv_cache import KVCache, PromptRest, PromptRows
from .slots import Slot
from .types import Decoder

Stages = Sequence[tuple[Decoder, KVCache]]  # the layers on each device, and their cache


class Reading:
    """A run of prompts that write keys and values into their slots. Shorter prompts are padded on the left.

    Of a single prompt, the tokens that are in its slot already do not run. Slots may move, and steps of other requests
    may run, between two parts.
    """

    def __init__(
        self,
        model: Any,
        stages: Stages,
        prefix: Any | None,
        prompts: Sequence[Tensor],
        slots: Sequence[Slot],
        most: int | None = None,
    ) -> None:
        """Begin a run. prefix: keys and values before every prompt; most: tokens of a single prompt that run, layer by
        layer; None: all of them, on each device in one part.
        """
        learned = prefix.length if prefix else 0
        self.slots, self._prefix = slots, prefix
        self._before = slots[0].length or learned  # tokens in the slots
        self._passed = passed = self._before - learned
        self._is_whole = True
        if len(prompts) == 1:
            self._is_whole = most is None or len(prompts[0]) - passed <= most
            prompts = [prompts[0][passed:][:most]]
        self.tokens, pad = max(map(len, prompts)), model.config.pad_token_id
        ids = pad_sequence(list(prompts), batch_first=True, padding_value=pad, padding_side="left")
        real = pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True, padding_side="left")
        plan = model.plan(ids, real)
        self._padding = [self.tokens - len(prompt) for prompt in prompts]
        self._mask = F.pad(plan.attention_mask, (self._before, 0), value=True) if self._before else plan.attention_mask
        moved = passed * torch.tensor(plan.stride, device=ids.device)[:, None]
        self._positions, following = plan.position_ids + moved, plan.next_position_ids(2) + moved
        lengths = [self._before + len(prompt) for prompt in prompts]
        for slot, length in zip(slots, lengths, strict=True):
            slot.length = length  # known before it is filled: the slot of a prompt that fails is emptied
        for _, cache in stages:  # a step of other rows writes behind these tokens
            cache.begin([slot.row for slot in slots], lengths, following.to(cache.device))
        self._left = list(stages) if most is None else _parts(model, stages)
        self.parts = len(self._left)
        self._x = model.get_input_embeddings()(ids) if self.parts > 1 else ids

    def advance(self) -> Tensor | None:
        """Run the next part. After the last one, returns the logits of the next tokens, [rows, vocabulary]; none are
        computed, [rows, 0], unless the last token of the prompts has run.
        """
        decoder, cache = self._left[0]
        rows, device, is_last = [slot.row for slot in self.slots], cache.device, len(self._left) == 1
        held = (
            PromptRest(cache, rows[0], self._before)
            if self._passed
            else PromptRows(cache, rows, self._padding, self._prefix)
        )
        keep = int(self._is_whole) if is_last else self.tokens
        x, positions, mask = (each.to(device) for each in (self._x, self._positions, self._mask))
        self._x = decoder(x, positions, mask, held, keep)
        del self._left[0]
        if not is_last:
            return None
        return self._x[:, -1].float() if self._is_whole else self._x.new_empty(len(rows), 0)


def _parts(model: Any, stages: Stages) -> list[tuple[Decoder, KVCache]]:
    """The layers that run one after the other, with their caches: those of each device, or each of those of one."""
    if len(stages) > 1:
        return list(stages)
    ((decoder, cache),) = stages
    return [(decoder.part(range(layer, layer + 1)), cache) for layer in range(model.config.layers)]
