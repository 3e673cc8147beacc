"""Sizes of a model that is rebuilt for a peer, and random weights for it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastglm.errors import UsageError
from fastglm.models.chatglm.config import ChatGLM6BConfig

_BLOCK = 1 << 20  # random numbers, which are repeated: speed does not depend on them


@dataclass(frozen=True, slots=True)
class Sizes:
    """A decoder with as many weights as a ChatGLM-6B model: `matrices` in each layer, and a head.

    A peer looks up one row of the embedding per token, so the embedding's weights do not count, tied to the head or
    not.
    """

    layers: int
    hidden: int
    heads: int
    inner: int
    vocabulary: int
    context: int
    epsilon: float

    @classmethod
    def of(cls, config: ChatGLM6BConfig) -> "Sizes":
        """The sizes of a config. Raises `UsageError` if its layers differ from each other: no peer builds such a
        model.
        """
        heads, inner = config.num_attention_heads, config.inner_hidden_size
        if isinstance(heads, list) or isinstance(inner, list) or heads * (config.head_dim or 0) != config.hidden_size:
            raise UsageError("a pruned model has layers that peers cannot build: name the model it was made from")
        return cls(
            config.num_layers,
            config.hidden_size,
            heads,
            inner,
            config.vocab_size,
            config.max_sequence_length,
            config.layernorm_epsilon,
        )

    @property
    def width(self) -> int:
        """Numbers per head."""
        return self.hidden // self.heads

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of a layer's matrices, by ChatGLM-6B's names."""
        return {
            "attention.query_key_value": (3 * self.hidden, self.hidden),
            "attention.dense": (self.hidden, self.hidden),
            "mlp.dense_h_to_4h": (self.inner, self.hidden),
            "mlp.dense_4h_to_h": (self.hidden, self.inner),
        }

    @property
    def weights(self) -> int:
        """Number of weights in the matrices that every token is multiplied by, including the head."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices.values()) + self.embedding

    @property
    def embedding(self) -> int:
        """Number of weights in the embedding, which the head has too."""
        return self.vocabulary * self.hidden

    def published(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every tensor of the published checkpoint."""
        yield "transformer.word_embeddings.weight", (self.vocabulary, self.hidden)
        for layer in range(self.layers):
            norms = dict.fromkeys(("input_layernorm", "post_attention_layernorm"), (self.hidden,))
            for name, shape in (norms | self.matrices).items():
                yield f"transformer.layers.{layer}.{name}.weight", shape
                yield f"transformer.layers.{layer}.{name}.bias", shape[:1]
        yield "transformer.final_layernorm.weight", (self.hidden,)
        yield "transformer.final_layernorm.bias", (self.hidden,)
        yield "lm_head.weight", (self.vocabulary, self.hidden)


def numbers() -> NDArray[np.float32]:
    """A block of random weights as in `shape:` models: normal, standard deviation 0.02."""
    return np.random.default_rng(0).standard_normal(_BLOCK, np.float32) * np.float32(0.02)


def plain(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The weight of a norm, all ones, or a bias, all zeros."""
    return np.full(shape, float(name.endswith("norm.weight")), np.float32)
