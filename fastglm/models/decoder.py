"""The decoder that engines run."""

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .language_model import LanguageModel

Rotary = Callable[[Tensor, int, torch.dtype], Any]


class Decoder(nn.Module):
    """A model for an engine: takes ids, positions, mask and cache, and returns logits only.

    It shares the weights of the original model.
    """

    def __init__(self, model: "LanguageModel") -> None:
        super().__init__()
        self.embedding, self.blocks = model.embedding, model.blocks
        self.final_norm, self.head = model.final_norm, model.head
        self.rotary = model.rotary

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the activations."""
        return next(self.blocks.parameters()).dtype  # weight of a norm, which is never packed

    @property
    def identity(self) -> tuple[torch.dtype, int]:
        """The dtype and the address of a weight: converting the model changes one of them."""
        weight = next(self.blocks.parameters())
        return weight.dtype, weight.data_ptr()

    def part(self, layers: range) -> "Decoder":
        """A decoder of some layers: takes hidden states instead of ids, and returns them if more layers follow."""
        part = copy(self)
        part._modules = {**self._modules, "embedding": nn.Identity()}
        part.blocks = self.blocks[layers.start : layers.stop]
        if layers.stop < len(self.blocks):
            part._modules |= {"final_norm": nn.Identity(), "head": nn.Identity()}
        return part

    def forward(self, ids: Tensor, position_ids: Tensor, mask: Tensor, cache: Any, keep: int) -> Tensor:
        """Logits of the last `keep` positions, [batch, keep, vocabulary]; an empty tensor for 0, without the head.

        Args:
            ids: [batch, sequence].
            position_ids: [batch, kinds, sequence], within the context of the model.
            mask: [batch, 1, sequence, total], True (or 0.0) where attended.
            cache: its `update` takes new keys and values of a layer and returns those to attend to.
        """
        x = self.embedding(ids)
        rotation = self.rotary(position_ids, 0, x.dtype)
        for block in self.blocks:
            x = block(x, rotation, mask, cache)
        return self.head(self.final_norm(x[:, -keep:])) if keep else x[:, :0]
