"""Reading of new tokens: their positions and their mask, and the facts that a cache remembers for later tokens."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from .masks import attended, causal, holds, real_columns

_NAME = "prompt_of_chatglm"  # the attribute of a cache


@dataclass(frozen=True, slots=True)
class Reading:
    """New tokens in the form that the layers take."""

    position_ids: Tensor  # [batch, kinds, length]
    mask: Tensor | None  # [batch, 1, length, columns], True where attended; None: everything before, and themselves
    positions: int  # an upper bound of the position ids, plus one
    prompt: Any | None  # facts for later tokens; None if the caller gave positions, so that nothing is known

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
        self.before: Any | None = getattr(cache, _NAME, None)
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

    def _remembered(self, kept: Tensor | None) -> Tensor | None:
        """The real columns of the cache and the new tokens, [batch, columns], with what a cache remembers of them."""
        if self.real is not None or kept is None:
            return self.real
        kept = kept[:, : self.past]
        return F.pad(kept, (0, self.columns - kept.shape[1]), value=True)


@dataclass(frozen=True, slots=True)
class CausalPrompt:
    """Facts about the tokens in a cache that later tokens of a causal model depend on."""

    real: Tensor | None  # [batch, columns], False on padding; None without padding
    prefix: int  # columns of a learned prefix


class CausalReader(Reader):
    """A reader for models that see no later token, with one kind of position: the number of tokens before."""

    def read(self, positions: Tensor | None) -> Reading:
        """Read the tokens; positions: [batch or 1, length] or [batch or 1, 1, length], None to count them.

        Raises:
            UsageError: positions of another shape or type, or a cache of another batch.
        """
        prefix = self.past if self.begins else self.before.prefix if self.before else 0
        real = self._remembered(self.before.real if self.before else None)
        if real is not None and real.shape[0] != self.batch:
            raise UsageError("past_key_values came from another batch: pass attention_mask for all its columns.")
        mask = self.grid
        if mask is None and (self.length > 1 or real is not None):
            mask = self._with_past(causal(self._new(real)), real)
        if positions is not None:
            return Reading(given := self._given(positions), mask, _bound(given, self.columns), None)
        if real is None:
            found = torch.arange(self.past - prefix, self.columns - prefix, device=self.device).expand(self.batch, -1)
        else:
            found = (real[:, prefix:].cumsum(-1) - 1).clamp(min=0)[:, -self.length :]
        return Reading(found[:, None], mask, self.columns + 1, CausalPrompt(real, prefix))

    def _given(self, positions: Tensor) -> Tensor:
        positions = positions[:, None] if positions.ndim == 2 else positions
        if positions.shape[1:] != (1, self.length) or positions.shape[0] not in (1, self.batch):
            raise UsageError(
                f"position_ids have the shape {list(positions.shape)}: they must be [{self.batch}, {self.length}]. "
                "Leave them out, and they are counted."
            )
        check_positions(positions)
        return positions.to(self.device).expand(self.batch, -1, -1)


def check_positions(positions: Tensor) -> None:
    """Raise UsageError for positions that are no whole numbers from 0."""
    if positions.is_floating_point() or not holds(positions >= 0):
        raise UsageError("position_ids must be whole numbers, 0 or more.")


def _bound(positions: Tensor, columns: int) -> int:
    return columns + 1 if positions.is_meta else int(positions.max()) + 1
