"""The interface of a model for engines."""

from typing import Any, Protocol, Self

import torch
from torch import Tensor


class Decoder(Protocol):
    """The layers of a model, from ids to logits, with positions, mask and cache given (`models.decoder`)."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the activations."""

    @property
    def identity(self) -> tuple[torch.dtype, int]:
        """The dtype and the address of a weight: converting the model changes one of them."""

    def part(self, layers: range) -> Self:
        """A decoder of some layers."""

    def __call__(self, ids: Tensor, position_ids: Tensor, mask: Any, cache: Any, keep: int) -> Tensor:
        """Logits of the last `keep` positions, [rows, keep, vocabulary], an empty tensor for 0; hidden states if more
        layers follow.
        """
