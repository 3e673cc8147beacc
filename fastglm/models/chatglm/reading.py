"""Reading of new tokens: their positions, their mask, and the facts that a cache remembers.

Positions of ChatGLM-6B depend on the whole prompt: on the places of <sop> and the mask token. A cache keeps these for
later tokens, which then need no positions from the caller.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UsageError
from .masks import attended, holds, real_columns
from .positions import Layout, attention_mask, attention_over, position_ids

_NAME = "prompt_of_chatglm"  # the attribute of a cache


@dataclass(frozen=True, slots=True)
class Prompt:
    """Facts about the tokens in a cache that later tokens depend on. Columns are those of the cache."""

    sop: Tensor  # [batch], the column of <sop>
    anchor: Tensor  # [batch], the position id of everything after it
    real: Tensor | None  # [batch, columns], False on padding; None without padding
    end: int  # the last column of a <sop>
    has_sop: bool  # in every row


@dataclass(frozen=True, slots=True)
class Reading:
    """New tokens in the form that the layers take."""

    position_ids: Tensor  # [batch, 2, length]
    mask: Tensor | None  # [batch, 1, length, columns], True where attended; None: everything before, and themselves
    positions: int  # an upper bound of the position ids, plus one
    prompt: Prompt | None  # None if the caller gave positions, so that nothing is known about later tokens

    def remember(self, cache: Any) -> None:
        """Store in a cache the facts that later tokens need."""
        setattr(cache, _NAME, self.prompt)


class Reader:
    """Reads one call's tokens, [batch, length], after `past` columns of a cache.

    Columns that a cache holds before the model has filled any are a learned prefix (P-Tuning v2): every token sees it,
    and it has no positions.
    """

    def __init__(self, shape: torch.Size, device: torch.device, mask: Tensor | None, cache: Any | None) -> None:
        self.batch, self.length = shape
        self.device = device
        self.past = cache.get_seq_length() if cache is not None else 0
        self.columns = self.past + self.length
        self.is_prefix = not hasattr(cache, _NAME)
        self.before: Prompt | None = getattr(cache, _NAME, None)
        self.grid: Tensor | None = None
        self.real: Tensor | None = None
        if mask is not None:
            self._take(mask.to(device))

    def _take(self, mask: Tensor) -> None:
        if mask.ndim == 4:
            self.grid, new = attended(mask, self.batch, self.length, self.columns)
            self.real = None if new is None else F.pad(new, (self.past, 0), value=True)
        elif mask.ndim == 2:
            real = real_columns(mask, self.batch, self.columns)
            self.real = None if holds(real) else real
        else:
            raise UsageError(f"attention_mask has {mask.ndim} dimensions: it must have two or four.")

    @property
    def begins(self) -> bool:
        """Tell whether these tokens are a prompt from its first one on."""
        return not self.past or self.is_prefix

    @property
    def is_behind_prefix(self) -> bool:
        """Tell whether these tokens are a prompt after a learned prefix."""
        return self.begins and self.past > 0

    @property
    def lacks_sop(self) -> bool:
        """Tell whether several tokens follow a prompt that had no <sop> in some row."""
        return self.length > 1 and self.before is not None and not self.before.has_sop

    def as_given(self, positions: Tensor) -> Reading:
        """Read with positions from the caller, [batch or 1, 2, length]: tokens with block position 0 are the
        context.
        """
        if positions.shape[1:] != (2, self.length) or positions.shape[0] not in (1, self.batch):
            raise UsageError(
                f"position_ids have the shape {list(positions.shape)}: ChatGLM-6B wants [{self.batch}, 2, "
                f"{self.length}], position and block position. Leave them out, and they are found from the tokens."
            )
        if positions.is_floating_point() or not holds(positions >= 0):
            raise UsageError("position_ids must be whole numbers, 0 or more.")
        positions = positions.to(self.device).expand(self.batch, -1, -1)
        mask = self.grid
        if mask is None and (self.length > 1 or self.real is not None):
            in_context = positions[:, 1] == 0
            if not self.begins and not positions.is_meta and bool(in_context.any()):
                raise UsageError(_SPLIT)
            mask = self._with_past(attention_over(in_context, self._new(self.real)))
        bound = self.columns if positions.is_meta else int(positions.max())
        return Reading(positions, mask, bound + 1, None)

    def of_prompt(self, layout: Layout, has_sop: bool) -> Reading:
        """Read with the layout of a prompt, found from its tokens."""
        positions = position_ids(layout)
        mask = self._with_past(attention_mask(layout)) if self.grid is None else self.grid
        is_sop = layout.real & (layout.index == layout.context[:, None])
        sop = self.past + is_sop.int().argmax(-1)
        end = 0 if sop.is_meta else int(sop.max())
        prompt = Prompt(sop, layout.anchor, self.real, end, has_sop)
        return Reading(positions, mask, self.length + 1, prompt)

    def after_prompt(self, has_sop: bool) -> Reading:
        """Read after a prompt that a cache knows: block positions advance, and attention is causal.

        Args:
            has_sop: tells whether these tokens contain the <sop> that a row lacked before.
        """
        before = self.before
        if before is None or before.sop.shape[0] != self.batch:
            raise UsageError(
                "past_key_values came from a call with position_ids, or from another batch: pass position_ids for the "
                "tokens after them too."
            )
        if self.past < before.end or has_sop:
            raise UsageError(_SPLIT)
        real = self.real
        if real is None and before.real is not None:
            kept = before.real[:, : self.past]
            real = F.pad(kept, (0, self.columns - kept.shape[1]), value=True)
        if real is None:
            number = torch.arange(self.past, self.columns, device=self.device) - before.sop[:, None]
        else:
            count = real.cumsum(-1)
            number = count[:, self.past :] - count.gather(1, before.sop[:, None])
        positions = torch.stack((before.anchor[:, None].expand_as(number), number + 1), 1)
        mask = self.grid
        if mask is None and (self.length > 1 or real is not None):
            new = self._new(real)
            mask = self._with_past(attention_over(torch.zeros_like(new), new), real)
        return Reading(positions, mask, self.columns + 1, replace(before, real=real))

    @property
    def new(self) -> Tensor:
        """Mark the new tokens that are not padding, [batch, length]."""
        return self._new(self.real)

    def _new(self, real: Tensor | None) -> Tensor:
        if real is None:
            return torch.ones(self.batch, self.length, dtype=torch.bool, device=self.device)
        return real[:, self.past :]

    def _with_past(self, mask: Tensor, real: Tensor | None = None) -> Tensor:
        """The mask of the new tokens, extended by the earlier columns, which all of them see."""
        real = self.real if real is None else real
        if real is None or not self.past:
            return F.pad(mask, (self.past, 0), value=True)
        return torch.cat((real[:, None, None, : self.past].expand(-1, -1, self.length, -1), mask), -1)


_SPLIT = (
    "The context of ChatGLM-6B is seen in both directions and cannot be read in parts: give the model everything up to "
    "<sop> in one call."
)
