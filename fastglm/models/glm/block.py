"""One layer of GLM: attention with shared keys, and a gated MLP, each behind a norm, or between two."""

from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.attention import Reach, attend
from ...kernels.cuda.fused import add_rms_norm, fuses, launch_rotate_pairs
from ...kernels.epilogue import Epilogue
from ...kernels.packed import apply, make_linear
from ...kernels.rotary import rotate_pairs
from ..language_model import BaseBlock
from .config import GLMConfig
from .norm import make_norm
from .rotary import Rotation

ROWS = 512  # rows of a prompt that are processed at a time when a model answers, so that intermediates stay small


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

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | Reach | None, cache: Any | None) -> Tensor:
        """Attend from x, [batch, sequence, hidden]; mask: [batch, 1, sequence, total], True (or 0.0) where attended."""
        if cache is not None and hasattr(cache, "places") and fuses(x):  # a decode step
            q = launch_rotate_pairs(self._qkv(x), self.kv_heads, rotation, *cache.of_layer(self.layer))
            k, v = cache.seen(self.layer)
            return self.merge(q, k, v, mask)
        q, k, v = self.project(x, rotation)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        return self.merge(q, k, v, mask)

    def merge(self, q: Tensor, k: Any, v: Any, mask: Tensor | Reach | None) -> Tensor:
        """Attend, and map what the heads found to [batch, sequence, hidden]."""
        return self.dense(attend(q, k, v, mask).transpose(1, 2).flatten(2))

    def _qkv(self, x: Tensor) -> Tensor:
        """The heads of queries, of keys and of values, [batch, sequence, heads, head_dim]."""
        return self.query_key_value(x).unflatten(-1, (-1, self.head_dim))

    def project(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys, and values, [batch, heads, sequence, head_dim] each."""
        qk, v = self._qkv(x).split((self.query_heads + self.kv_heads, self.kv_heads), 2)
        q, k = rotate_pairs(qk, rotation).transpose(1, 2).split((self.query_heads, self.kv_heads), 1)
        return q, k, v.transpose(1, 2)


class MLP(nn.Module):
    """SwiGLU (Shazeer, arXiv 2002.05202): `dense_h_to_4h` gives [gates | the numbers that they scale]."""

    def __init__(self, config: GLMConfig, layer: int) -> None:
        super().__init__()
        format = config.linear_format()
        self.inner = config.inner(layer)
        self.dense_h_to_4h = make_linear(format, config.hidden_size, 2 * self.inner, bias=False)
        self.dense_4h_to_h = make_linear(format, self.inner, config.hidden_size, bias=False)

    def forward(self, x: Tensor, residual: Tensor | None) -> Tensor:
        """Apply to x, and add the residual where there is one: [batch, sequence, hidden] both."""
        inner = apply(self.dense_h_to_4h, x, Epilogue(swiglu=True))
        return apply(self.dense_4h_to_h, inner, Epilogue(residual=residual))


class Block(BaseBlock):
    """One layer."""

    def __init__(self, config: GLMConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config)
        self.self_attention = Attention(config, layer)
        self.post_attention_layernorm = make_norm(config)
        self.mlp = MLP(config, layer)
        self.post_self_attn_layernorm = make_norm(config) if config.post_norms else None
        self.post_mlp_layernorm = make_norm(config) if config.post_norms else None

    def head_rows(self) -> tuple[Tensor, ...]:
        """The rows of each group: its queries, its keys and its values."""
        attention = self.self_attention
        sizes = (attention.query_heads, attention.kv_heads, attention.kv_heads)
        rows = torch.arange(sum(sizes) * attention.head_dim)
        parts = rows.split([size * attention.head_dim for size in sizes])
        return (torch.cat([part.view(attention.kv_heads, -1) for part in parts], 1),)

    def channel_rows(self) -> tuple[Tensor, ...]:
        """Each channel's gate, and the row that it scales."""
        return (torch.arange(2 * self.mlp.inner).view(2, -1).T,)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None, cache: Any | None) -> Tensor:
        """Compute the next states from x, [batch, sequence, hidden]."""
        if cache is None or x.shape[1] <= ROWS or not isinstance(mask, Tensor):
            return self._add(self.self_attention(self.input_layernorm(x), rotation, mask, cache), x)
        return self._in_parts(x, rotation, mask, cache)

    def _in_parts(self, x: Tensor, rotation: Rotation, mask: Tensor, cache: Any) -> Tensor:
        """Run a long prompt a part at a time, as no token sees a later one: each result takes the place of queries."""
        attention, new = self.self_attention, x.shape[1]
        parts = [slice(begin, min(begin + ROWS, new)) for begin in range(0, new, ROWS)]
        held, keys, values = [], [], []
        for of in parts:
            q, k, v = attention.project(self.input_layernorm(x[:, of]), (rotation[0][:, of], rotation[1][:, of]))
            held.append(q)
            keys.append(k)
            values.append(v.clone())  # a view would keep the whole product
        k, v = cache.update(torch.cat(keys, 2), torch.cat(values, 2), attention.layer)
        del q, keys, values
        for number, of in enumerate(parts):
            seen = k.shape[2] - new + of.stop
            branch = attention.merge(held[number], k[:, :, :seen], v[:, :, :seen], mask[:, :, of, :seen])
            held[number] = self._add(branch, x[:, of])
        return torch.cat(held, 1)

    def _add(self, branch: Tensor, x: Tensor) -> Tensor:
        """Add the branch of attention, and then that of the MLP, to x: [batch, sequence, hidden]."""
        if self.post_self_attn_layernorm is not None:
            branch = self.post_self_attn_layernorm(branch)
        x, normed = add_rms_norm(branch, x, self.post_attention_layernorm)
        if self.post_mlp_layernorm is None:
            return self.mlp(normed, x)
        return x + self.post_mlp_layernorm(self.mlp(normed, None))
