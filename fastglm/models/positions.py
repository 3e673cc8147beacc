"""Positions and masks of ChatGLM-6B: a bidirectional context, then a causal answer."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the context of each row of a batch begins and ends; all [batch], int64."""

    start: Tensor  # the first token that is not padding
    context: Tensor  # index of <sop>: everything before it is seen in both directions
    anchor: Tensor  # the position id of <sop> and everything after it: that of the mask token


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine needs to run a prompt and what follows it, without knowing where that comes from."""

    position_ids: Tensor  # [batch, 2, sequence]
    attention_mask: Tensor  # [batch, 1, sequence, sequence], True where attended
    padding: Tensor  # [batch], tokens of padding at the left

    def next_position_ids(self, count: int) -> Tensor:
        """[batch, 2, count]: those of the `count` tokens after the prompt. Only the block position counts on."""
        following = self.position_ids[:, :, -1:].repeat(1, 1, count)
        following[:, 1] += torch.arange(1, count + 1, device=following.device)
        return following


def find_layout(input_ids: Tensor, attention_mask: Tensor | None, sop: int, gmask: int, mask: int) -> Layout:
    """Finds <sop> and the (g)mask token in each row.

    A row without <sop> is read as an answer with an empty context: causal throughout.

    Args:
        input_ids: [batch, sequence].
        attention_mask: [batch, sequence], 0 on the padding at the left; None where there is none.
    """
    batch = input_ids.shape[0]
    start = input_ids.new_zeros(batch) if attention_mask is None else (attention_mask == 0).sum(-1)
    is_sop = input_ids == sop
    context = torch.where(is_sop.any(-1), is_sop.int().argmax(-1), start)
    # [gMASK] where there is one, [MASK] otherwise; without either, <sop> keeps its own index.
    anchor = context
    for token in (mask, gmask):
        found = input_ids == token
        anchor = torch.where(found.any(-1), found.int().argmax(-1), anchor)
    return Layout(start=start, context=context, anchor=anchor - start)


def position_ids(layout: Layout, length: int) -> Tensor:
    """[batch, 2, length]: positions and block positions."""
    index = torch.arange(length, device=layout.start.device)[None]
    in_context = index < layout.context[:, None]
    position = torch.where(in_context, (index - layout.start[:, None]).clamp(min=0), layout.anchor[:, None])
    block = (index - layout.context[:, None] + 1).clamp(min=0)
    return torch.stack((position, block), 1)


def attention_mask(layout: Layout, length: int) -> Tensor:
    """[batch, 1, length, length], True where a row may attend to a column.

    Rows of the padding see themselves, so that no softmax is over nothing.
    """
    index = torch.arange(length, device=layout.start.device)
    causal = index[:, None] >= index[None, :]
    in_context = index[None, None, :] < layout.context[:, None, None]
    real = index[None, None, :] >= layout.start[:, None, None]
    allowed = ((causal[None] | in_context) & real) | torch.eye(length, dtype=torch.bool, device=index.device)
    return allowed[:, None]
