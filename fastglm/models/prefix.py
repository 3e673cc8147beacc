"""Learned prefixes (P-Tuning v2: Liu et al., ACL 2022, arXiv 2110.07602): keys and values that every token sees first.

A prefix has no positions and no rotation, the positions of the tokens do not count it, and no mask hides it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .facts import ModelFacts

_DROPOUT = 0.1  # share of the prefix in training, as published
_NAME = "prefix_of_fastglm"  # the attribute of a cache


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of each layer, [1, kv_heads, length, head_dim]."""

    layers: Sequence[tuple[Tensor, Tensor]]

    @property
    def length(self) -> int:
        """The number of learned tokens."""
        return self.layers[0][0].shape[2]

    def before(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer behind those of the prefix, [rows, kv_heads, length + tokens, head_dim]."""
        first, second = (
            torch.cat((own.to(x).expand(len(x), -1, -1, -1), x), 2)
            for own, x in zip(self.layers[layer], (k, v), strict=True)
        )
        return first, second

    def seen(self, mask: Tensor) -> Tensor:
        """A mask [rows, 1, tokens, total], True where attended, with the prefix before its columns."""
        return F.pad(mask, (self.length, 0), value=True)


class PrefixEncoder(nn.Module):
    """The published module of a prefix; with projection, two linear maps give it from smaller embeddings.

    Its output is seen as [length, 2 * layers, kv_heads, head_dim]: keys of the first layer, then its values.
    """

    def __init__(self, config: ModelFacts) -> None:
        super().__init__()
        assert config.pre_seq_len
        assert config.head_dim
        self.form = 2 * config.layers, config.kv_heads(0), config.head_dim
        width, inner = config.cache_values(), config.prefix_inner
        if config.prefix_projection:
            self.embedding = nn.Embedding(config.pre_seq_len, inner)
            self.trans = nn.Sequential(nn.Linear(inner, config.hidden), nn.Tanh(), nn.Linear(config.hidden, width))
        else:
            self.embedding = nn.Embedding(config.pre_seq_len, width)
            self.trans = nn.Sequential()

    def values(self) -> Tensor:
        """All numbers of the prefix, [length, 2 * layers * kv_heads * head_dim]."""
        found: Tensor = self.trans(self.embedding.weight)
        return found

    def forward(self) -> Prefix:
        values = F.dropout(self.values(), _DROPOUT, self.training).unflatten(-1, self.form)
        halves = values.permute(1, 2, 0, 3)[:, None]
        return Prefix(list(zip(halves[::2], halves[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Prefixed:
    """A cache of transformers, or none, whose tokens see a prefix first."""

    prefix: Prefix
    cache: Any | None

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Keep new keys and values, [rows, kv_heads, tokens, head_dim]; returns all to attend to."""
        if self.cache is not None:
            k, v = self.cache.update(k, v, layer)
        return self.prefix.before(k, v, layer)


def prefixed(encoder: PrefixEncoder | None, mask: Tensor | None, cache: Any | None) -> tuple[Tensor | None, Any]:
    """The mask and the cache with which layers run; without an encoder both stay as they are.

    A cache of transformers counts its tokens alone. It remembers the prefix that they saw, which later tokens see too.

    Args:
        mask: [rows, 1, tokens, total], True where attended; None: everything is visible.
    """
    if encoder is None:
        return mask, cache
    prefix = getattr(cache, _NAME, None) or encoder()
    if cache is not None:
        setattr(cache, _NAME, prefix)
    return None if mask is None else prefix.seen(mask), Prefixed(prefix, cache)
