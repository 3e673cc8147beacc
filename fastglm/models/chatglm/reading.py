"""Reading of new tokens: their positions, their mask, and the facts that a cache remembers.

Positions of ChatGLM-6B depend on the whole prompt: on the places of <sop> and the mask token. A cache keeps these for
later tokens, which then need no positions from the caller.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import UsageError
from ..masks import causal
from ..reading import Reader, Reading, check_positions
from .positions import Layout, attention_mask, position_ids


@dataclass(frozen=True, slots=True)
class Prompt:
    """Facts about the tokens in a cache that later tokens depend on. Columns are those of the cache."""

    sop: Tensor  # [batch], the column of <sop>
    anchor: Tensor  # [batch], the position id of everything after it
    real: Tensor | None  # [batch, columns], False on padding; None without padding
    end: int  # the last column of a <sop>
    has_sop: bool  # in every row


class PromptReader(Reader):
    """A reader for prompts whose context is seen in both directions."""

    before: Prompt | None

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
        check_positions(positions)
        positions = positions.to(self.device).expand(self.batch, -1, -1)
        mask = self.grid
        if mask is None and (self.length > 1 or self.real is not None):
            in_context = positions[:, 1] == 0
            if not self.begins and not positions.is_meta and bool(in_context.any()):
                raise UsageError(_SPLIT)
            mask = self._with_past(causal(self.new, in_context))
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
        real = self._remembered(before.real)
        if real is None:
            number = torch.arange(self.past, self.columns, device=self.device) - before.sop[:, None]
        else:
            count = real.cumsum(-1)
            number = count[:, self.past :] - count.gather(1, before.sop[:, None])
        positions = torch.stack((before.anchor[:, None].expand_as(number), number + 1), 1)
        mask = self.grid
        if mask is None and (self.length > 1 or real is not None):
            mask = self._with_past(causal(self._new(real)), real)
        return Reading(positions, mask, self.columns + 1, replace(before, real=real))


_SPLIT = (
    "The context of ChatGLM-6B is seen in both directions and cannot be read in parts: give the model everything up to "
    "<sop> in one call."
)
