"""The decoder that engines run."""

from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .model import ChatGLMForConditionalGeneration


class Decoder(nn.Module):
    """A model for an engine: takes ids, positions, mask and cache, and returns logits only.

    It shares the weights of the original model.
    """

    def __init__(self, model: "ChatGLMForConditionalGeneration") -> None:
        super().__init__()
        transformer = model.transformer
        self.word_embeddings, self.layers = transformer.word_embeddings, transformer.layers
        self.final_layernorm, self.lm_head = transformer.final_layernorm, model.lm_head
        self.rotary = transformer.rotary

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the activations."""
        return next(self.layers.parameters()).dtype  # weight of a norm, which is never packed

    def part(self, layers: range) -> "Decoder":
        """A decoder of some layers: takes hidden states instead of ids, and gives them where more layers follow."""
        part = copy(self)
        part._modules = {**self._modules, "word_embeddings": nn.Identity()}
        part.layers = self.layers[layers.start : layers.stop]
        if layers.stop < len(self.layers):
            part._modules |= {"final_layernorm": nn.Identity(), "lm_head": nn.Identity()}
        return part

    def forward(self, ids: Tensor, position_ids: Tensor, mask: Tensor, cache: Any, keep: int) -> Tensor:
        """Logits of the last `keep` positions, [batch, keep, vocabulary].

        Args:
            ids: [batch, sequence].
            position_ids: [batch, 2, sequence], within the context of the model.
            mask: [batch, 1, sequence, total], True (or 0.0) where attended.
            cache: its `update` takes new keys and values of a layer and returns those to attend to.
        """
        x = self.word_embeddings(ids)
        rotation = self.rotary(position_ids, 0, x.dtype)
        for block in self.layers:
            x = block(x, rotation, mask, cache)
        return self.lm_head(self.final_layernorm(x[:, -keep:]))
