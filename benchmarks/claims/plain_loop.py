"""The yardstick of `original`: ChatGLM-6B decoding written by hand, without transformers.

A dynamic cache by concatenation, `scaled_dot_product_attention`, rotary tables, greedy choice; one prompt, no padding.
The loop uses the weights of a loaded model, so that both read the same memory, and must give the same tokens.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastglm.models.language_model import LanguageModel

ALPHA = math.sqrt(2 * 28)  # factor of the residual branches, at any depth


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights and biases of one block."""

    norm1: tuple[Tensor, Tensor]
    qkv: tuple[Tensor, Tensor]
    dense: tuple[Tensor, Tensor]
    norm2: tuple[Tensor, Tensor]
    up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]


class PlainLoop:
    """A loop over tokens and layers, on the weights of `model`, in their precision."""

    def __init__(self, model: LanguageModel) -> None:
        weights, names, config = model.state_dict(), model.names, model.config

        def pair(name: str) -> tuple[Tensor, Tensor]:
            return weights[f"{name}.weight"], weights[f"{name}.bias"]

        parts = (
            names.attention_norm,
            *names.attention_in,
            names.attention_out,
            names.mlp_norm,
            *names.mlp_in,
            names.mlp_out,
        )
        self.layers = [Layer(*(pair(names.layer(n) + part) for part in parts)) for n in range(config.layers)]
        embedding, head = names.ends
        self.embedding, self.head = weights[embedding], weights[head]
        self.final_norm = pair(names.final_norm)
        self.heads, self.width = config.query_heads(0), int(config.head_dim or 0)
        fields: Any = config  # those that only ChatGLM-6B has
        self.epsilon = fields.layernorm_epsilon
        self.gmask, self.sop = fields.gmask_token_id, fields.bos_token_id
        self.cos, self.sin = _tables(self.width // 2, config.context + 1)

    @torch.inference_mode()
    def generate(self, prompt: list[int], tokens: int) -> Iterator[int]:
        """Yield `tokens` greedy token ids; `prompt` is `tokens… [gMASK] <sop>`."""
        ids, position, block, mask = self._begin(prompt)
        cache: list[tuple[Tensor, Tensor]] = []
        for _ in range(tokens):
            ids = self._step(ids, position, block, mask, cache).argmax(-1, keepdim=True)
            yield int(ids)
            position, block, mask = position[-1:], block[-1:] + 1, None

    @torch.inference_mode()
    def nats(self, prompt: list[int], answer: list[int]) -> float:
        """The cross-entropy of `answer` after `prompt`, summed over its tokens, in nats."""
        ids, position, block, mask = self._begin(prompt)
        cache: list[tuple[Tensor, Tensor]] = []
        total = 0.0
        for token in answer:
            total -= self._step(ids, position, block, mask, cache).log_softmax(-1)[token].item()
            ids, position, block, mask = torch.tensor([token]), position[-1:], block[-1:] + 1, None
        return total

    def _begin(self, prompt: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """ids, positions, block positions and mask of a prompt."""
        context, anchor = prompt.index(self.sop), prompt.index(self.gmask)
        position = torch.tensor([*range(context), *[anchor] * (len(prompt) - context)])
        block = torch.tensor([*[0] * context, *range(1, len(prompt) - context + 1)])
        square = torch.ones(len(prompt), len(prompt), dtype=torch.bool).tril()
        square[:, :context] = True  # attention sees the prompt in both directions
        return torch.tensor(prompt), position, block, square

    def _step(
        self, ids: Tensor, position: Tensor, block: Tensor, mask: Tensor | None, cache: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Logits [vocabulary] of the token after `ids`; adds keys and values to `cache`."""
        first, second = (self.cos[position], self.sin[position]), (self.cos[block], self.sin[block])
        x = self.embedding[ids]
        for index, layer in enumerate(self.layers):
            x = self._norm(x, layer.norm1)
            qkv = F.linear(x, *layer.qkv).view(len(ids), self.heads, 3 * self.width).transpose(0, 1)
            q, k, v = qkv.chunk(3, -1)  # keys and values, each [heads, sequence, width]
            q, k = _rotated(q, first, second), _rotated(k, first, second)
            if index < len(cache):
                k, v = torch.cat((cache[index][0], k), 1), torch.cat((cache[index][1], v), 1)
                cache[index] = k, v
            else:
                cache.append((k, v))
            seen = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask)[0]
            x = x * ALPHA + F.linear(seen.transpose(0, 1).reshape(len(ids), -1), *layer.dense)
            x = self._norm(x, layer.norm2)
            x = x * ALPHA + F.linear(F.gelu(F.linear(x, *layer.up), approximate="tanh"), *layer.down)
        return F.linear(self._norm(x[-1:], self.final_norm), self.head)[0]

    def _norm(self, x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], *norm, self.epsilon)


def _tables(half: int, positions: int) -> tuple[Tensor, Tensor]:
    """cos and sin, [positions, half]; the inverse frequencies are rounded to fp16, as published."""
    frequencies = (1.0 / 10000 ** (torch.arange(0, half, 2) / half)).half().float()
    angles = torch.arange(positions)[:, None] * frequencies
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def _rotated(x: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the first half of each head by the position, the second by the block position."""
    a, b = x.chunk(2, -1)
    return torch.cat((_turned(a, *first), _turned(b, *second)), -1)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat((-right, left), -1) * sin
