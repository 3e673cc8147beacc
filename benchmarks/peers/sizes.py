"""The sizes of a model that is built anew for a peer, and random weights for it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastglm.errors import UsageError
from fastglm.models.chatglm.config import ChatGLM6BConfig

_BLOCK = 1 << 20  # numbers that are drawn; they are repeated, as speed does not depend on them


@dataclass(frozen=True, slots=True)
class Sizes:
    """A decoder with as many weights as a ChatGLM-6B one: each layer multiplies by `matrices`, each token by a head.

    A peer looks one row of the embedding up a token, so that its weights are not counted, tied to the head or not.
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
        """Raises `UsageError` where the layers differ from each other: no peer builds such a model."""
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
        """Numbers of a head."""
        return self.hidden // self.heads

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of a layer's matrices, by the names that ChatGLM-6B has for them."""
        return {
            "attention.query_key_value": (3 * self.hidden, self.hidden),
            "attention.dense": (self.hidden, self.hidden),
            "mlp.dense_h_to_4h": (self.inner, self.hidden),
            "mlp.dense_4h_to_h": (self.hidden, self.inner),
        }

    @property
    def weights(self) -> int:
        """Of the matrices that every token is multiplied by, the head's included."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices.values()) + self.embedding

    @property
    def embedding(self) -> int:
        """Weights of the embedding, and of the head."""
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
    """A block of weights as `shape:` models have them: normal, 0.02 wide."""
    return np.random.default_rng(0).standard_normal(_BLOCK, np.float32) * np.float32(0.02)


def plain(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A norm's weight, which is 1, or a bias, which is 0."""
    return np.full(shape, float(name.endswith("norm.weight")), np.float32)
