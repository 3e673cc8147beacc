"""One layer of ChatGLM-6B: attention and the feed-forward part."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.attention import attend
from ...kernels.cuda.fused import add_norm, fuses, launch_rotate
from ...kernels.epilogue import Epilogue
from ...kernels.packed import apply, make_linear
from ...kernels.rotary import apply_rotary
from ..language_model import BaseBlock
from .config import ChatGLM6BConfig

# The published blocks use 28 as their number of layers, whatever the config says.
RESIDUAL_SCALE = math.sqrt(2 * 28)
# Rows of a prompt that a layer processes at a time when it answers, so that its intermediates stay small. Attention
# sees the context in both directions: a layer needs the keys and values of all rows before it attends from the first.
ROWS = 512


class Attention(nn.Module):
    """Multi-head attention; `query_key_value` gives [q | k | v] head by head.

    The published fp16 code divides q by the layer number and multiplies the scores by it in fp32, to stay within
    fp16's range. `scaled_dot_product_attention` keeps the scores in fp32 or scales before the product, so that here
    the plain scale does the same, at any depth. A layer that moved up because others were removed before it keeps the
    number that it was trained with (`config.layer_number`).
    """

    def __init__(self, config: ChatGLM6BConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.query_heads(layer)
        self.head_dim: int = config.head_dim  # type: ignore[assignment]  # set by the config
        width = self.heads * self.head_dim
        format = config.linear_format()
        self.query_key_value = make_linear(format, config.hidden_size, 3 * width)
        self.dense = make_linear(format, width, config.hidden_size)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None, cache: Any | None) -> Tensor:
        """Attend from x, [batch, sequence, hidden]; mask: [batch, 1, sequence, total], True (or 0.0) where attended."""
        if cache is not None and hasattr(cache, "places") and fuses(x):  # a decode step
            q, (k, v) = launch_rotate(self._qkv(x), rotation, *cache.of_layer(self.layer)), cache.seen(self.layer)
            return self._merge(q, k, v, mask)
        if cache is None or x.shape[1] <= ROWS:
            q, k, v = self._project(x, rotation)
        else:
            parts = zip(*(part.split(ROWS, 1) for part in (x, *rotation)), strict=True)
            q, k, v = (
                torch.cat(found, 2)
                for found in zip(*(self._project(rows, (cos, sin)) for rows, cos, sin in parts), strict=True)
            )
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        return self._merge(q, k, v, mask)

    def _merge(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return self.dense(attend(q, k, v, mask).transpose(1, 2).flatten(2))

    def _qkv(self, x: Tensor) -> Tensor:
        """Query, key and value of each head, [batch, sequence, heads, 3 * head_dim]."""
        return self.query_key_value(x).unflatten(-1, (self.heads, 3 * self.head_dim))

    def _project(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys and values, [batch, heads, sequence, head_dim] each."""
        qk, v = self._qkv(x).split((2 * self.head_dim, self.head_dim), -1)
        q, k = apply_rotary(qk, rotation).transpose(1, 2).chunk(2, -1)
        return q, k, v.transpose(1, 2)


class MLP(nn.Module):
    """The feed-forward part: GELU in its tanh form between two linear maps, and the residual."""

    def __init__(self, config: ChatGLM6BConfig, layer: int) -> None:
        super().__init__()
        format = config.linear_format()
        self.inner = config.inner(layer)
        self.dense_h_to_4h = make_linear(format, config.hidden_size, self.inner)
        self.dense_4h_to_h = make_linear(format, self.inner, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x, [batch, sequence, hidden]."""
        inner = apply(self.dense_h_to_4h, x, Epilogue(gelu=True))
        return apply(self.dense_4h_to_h, inner, Epilogue(residual=x, scale=RESIDUAL_SCALE))


class Block(BaseBlock):
    """One layer; each residual branch starts from the normalised input."""

    def __init__(self, config: ChatGLM6BConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon)
        self.attention = Attention(config, layer)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon)
        self.mlp = MLP(config, layer)

    def head_rows(self) -> tuple[Tensor, ...]:
        """The query, key and value of each head lie together."""
        heads = self.attention.heads
        return (torch.arange(3 * heads * self.attention.head_dim).view(heads, -1),)

    def channel_rows(self) -> tuple[Tensor, ...]:
        """Each channel has one row."""
        return (torch.arange(self.mlp.inner)[:, None],)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None, cache: Any | None) -> Tensor:
        """Compute the next states from x, [batch, sequence, hidden]."""
        a = self.input_layernorm(x)
        branch = self.attention(a, rotation, mask, cache)
        m = add_norm(branch, a, RESIDUAL_SCALE, self.post_attention_layernorm)
        if cache is None or x.shape[1] <= ROWS:
            return self.mlp(m)
        return torch.cat([self.mlp(rows) for rows in m.split(ROWS, 1)], 1)
