"""One layer of GLM: attention with shared keys, and a gated MLP, each behind a norm."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.attention import attend
from ...kernels.epilogue import Epilogue
from ...kernels.packed import apply, make_linear
from ..language_model import BaseBlock
from .config import GLMConfig
from .norm import make_norm
from .rotary import Rotation, rotate

ROWS = 512  # rows of a prompt that are projected at a time when a model answers, so that intermediates stay small


class Attention(nn.Module):
    """Attention of heads in groups that share keys and values (Ainslie et al., EMNLP 2023, arXiv 2305.13245).

    `query_key_value` gives [all queries | keys of all groups | values of all groups].
    """

    def __init__(self, config: GLMConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.query_heads, self.kv_heads = config.query_heads(layer), config.kv_heads(layer)
        self.head_dim = int(config.head_dim or 0)
        hidden, format = config.hidden_size, config.linear_format()
        queries, keys = self.query_heads * self.head_dim, self.kv_heads * self.head_dim
        self.query_key_value = make_linear(format, hidden, queries + 2 * keys, bias=config.add_qkv_bias)
        self.dense = make_linear(format, queries, hidden, bias=False)

    def forward(
        self, x: Tensor, residual: Tensor, rotation: Rotation, mask: Tensor | None, cache: Any | None
    ) -> Tensor:
        """x, residual: [batch, sequence, hidden]; mask: [batch, 1, sequence, total], True (or 0.0) where attended."""
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
        return apply(self.dense, attend(q, k, v, mask).transpose(1, 2).flatten(2), Epilogue(residual=residual))

    def _project(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys, and values, [batch, heads, sequence, head_dim] each."""
        qkv = self.query_key_value(x).unflatten(-1, (-1, self.head_dim))
        qk, v = qkv.split((self.query_heads + self.kv_heads, self.kv_heads), 2)
        q, k = rotate(qk, rotation).transpose(1, 2).split((self.query_heads, self.kv_heads), 1)
        return q, k, v.transpose(1, 2)


class MLP(nn.Module):
    """SwiGLU (Shazeer, arXiv 2002.05202): `dense_h_to_4h` gives [gates | what they scale]."""

    def __init__(self, config: GLMConfig, layer: int) -> None:
        super().__init__()
        format = config.linear_format()
        self.inner = config.inner(layer)
        self.dense_h_to_4h = make_linear(format, config.hidden_size, 2 * self.inner, bias=False)
        self.dense_4h_to_h = make_linear(format, self.inner, config.hidden_size, bias=False)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """x, residual: [batch, sequence, hidden]."""
        gate, up = self.dense_h_to_4h(x).chunk(2, -1)
        return apply(self.dense_4h_to_h, F.silu(gate) * up, Epilogue(residual=residual))


class Block(BaseBlock):
    """One layer."""

    def __init__(self, config: GLMConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config)
        self.self_attention = Attention(config, layer)
        self.post_attention_layernorm = make_norm(config)
        self.mlp = MLP(config, layer)

    def head_rows(self) -> tuple[Tensor, ...]:
        """Each group's queries, keys and values."""
        attention = self.self_attention
        sizes = (attention.query_heads, attention.kv_heads, attention.kv_heads)
        rows = torch.arange(sum(sizes) * attention.head_dim)
        parts = rows.split([size * attention.head_dim for size in sizes])
        return (torch.cat([part.view(attention.kv_heads, -1) for part in parts], 1),)

    def channel_rows(self) -> tuple[Tensor, ...]:
        """Each channel's gate, and the row that it scales."""
        return (torch.arange(2 * self.mlp.inner).view(2, -1).T,)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None, cache: Any | None) -> Tensor:
        """x: [batch, sequence, hidden]."""
        x = self.self_attention(self.input_layernorm(x), x, rotation, mask, cache)
        if cache is None or x.shape[1] <= ROWS:
            return self.mlp(self.post_attention_layernorm(x), x)
        return torch.cat([self.mlp(self.post_attention_layernorm(rows), rows) for rows in x.split(ROWS, 1)], 1)
