"""Positions and masks of ChatGLM-6B: a bidirectional context, then a causal answer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..masks import causal


@dataclass(frozen=True, slots=True)
class Layout:
    """The end of the context in each row of a batch. Token numbers do not count padding, wherever it is."""

    real: Tensor  # [batch, sequence], False on padding
    context: Tensor  # [batch], number of tokens before <sop>: they are seen in both directions
    anchor: Tensor  # [batch], the position id of <sop> and everything after it: the position of the mask token

    @property
    def index(self) -> Tensor:
        """The number of each token in its row, [batch, sequence]; padding has a neighbour's number."""
        return (self.real.cumsum(-1) - 1).clamp(min=0)


def find_layout(input_ids: Tensor, attention_mask: Tensor | None, sop: int, gmask: int, mask: int) -> Layout:
    """Find <sop> and the (g)mask token in each row; the first of several counts, as published.

    A row without <sop> is read as an answer with an empty context: causal throughout.

    Args:
        input_ids: [batch, sequence].
        attention_mask: [batch, sequence], 0 on padding; None without padding.
    """
    real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask != 0
    return layout_of(input_ids == sop, input_ids == gmask, input_ids == mask, real)


def layout_of(is_sop: Tensor, is_gmask: Tensor, is_mask: Tensor, real: Tensor) -> Layout:
    """The layout of rows from the places of their tokens, [batch, sequence] each."""
    index = real.cumsum(-1) - 1
    context = _first(is_sop & real, index, torch.zeros_like(index[:, 0]))
    # [gMASK] if there is one, otherwise [MASK]; without either, <sop> keeps its own index.
    anchor = _first(is_gmask & real, index, _first(is_mask & real, index, context))
    return Layout(real, context, anchor)


def _first(found: Tensor, index: Tensor, otherwise: Tensor) -> Tensor:
    """The index of the first token found in each row, [batch]."""
    first = index.gather(1, found.int().argmax(-1, keepdim=True))[:, 0]
    return torch.where(found.any(-1), first, otherwise)


def position_ids(layout: Layout) -> Tensor:
    """Positions and block positions, [batch, 2, sequence], 0 on padding."""
    index, context = layout.index, layout.context[:, None]
    position = torch.where(index < context, index, layout.anchor[:, None])
    block = (index - context + 1).clamp(min=0)
    return torch.stack((position, block), 1) * layout.real[:, None]


def attention_mask(layout: Layout) -> Tensor:
    """The mask, [batch, 1, sequence, sequence], True if a row may attend to a column."""
    return causal(layout.real, layout.index < layout.context[:, None])
