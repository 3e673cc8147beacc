"""One decode step: every shape but the window is static, and all changing values lie on the device."""

import torch
from torch import Tensor, nn

from ..kernels.attention import Reach
from .kv_cache import Window
from .sampling import best_of
from .types import Decoder


class DecodeStep(nn.Module):
    """Runs tokens through the layers and gives the logits after them: uncompiled, compiled for a CPU, or captured as a
    CUDA graph.
    """

    is_current = True  # whatever becomes of the model

    def __init__(self, decoder: Decoder, is_int8: bool, first_layer: int = 0) -> None:
        super().__init__()
        self.decoder, self.is_int8, self.first_layer = decoder, is_int8, first_layer

    def forward(
        self, ids: Tensor, place: Tensor, position: Tensor, stride: Tensor, columns: Tensor, *held: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run tokens and move `place` and `position` behind them.

        Args:
            ids: [rows, tokens]; `NONE` among them runs like any other, because a step may be launched before its ids
            are known.
            place: [rows], number of tokens in the cache before these.
            position: [rows, kinds, 1], of the first of them; `stride`: its change from token to token.
            columns: [window], counting up from 0: the places of the cache that are read.
            held: `KVCache.held` of the rows, written at the tokens' places.

        Returns:
            logits [rows, tokens, vocabulary] in fp32, and `best_of` them, [rows, tokens].
        """
        if not ids.is_floating_point():  # hidden states, if layers precede
            ids = ids.clamp(min=0)
        logits = self.run(ids, place, position, stride, columns, *held).float()
        return logits, best_of(logits)

    def run(
        self, ids: Tensor, place: Tensor, position: Tensor, stride: Tensor, columns: Tensor, *held: Tensor
    ) -> Tensor:
        """Run tokens like `forward`; returns the decoder's output."""
        tokens = ids.shape[1]
        order = torch.arange(tokens, device=ids.device)
        places = place[:, None] + order
        mask = torch.where(columns <= places[:, None, :, None], 0.0, -torch.inf)
        window = Window(held, places, columns.shape[0], self.is_int8, self.first_layer)
        position_ids = position + stride * order
        out = self.decoder(ids, position_ids, Reach(places, mask.to(self.decoder.dtype)), window, keep=tokens)
        place += tokens
        position += tokens * stride
        return out


class InnerStep(DecodeStep):
    """A step of layers that are followed by others."""

    def forward(self, ids: Tensor, *inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Run like `DecodeStep.forward`, from hidden states to hidden states, [rows, tokens, hidden]."""
        return self.run(ids, *inputs)
