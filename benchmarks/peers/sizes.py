"""Sizes of a model that is rebuilt for a peer, and random weights for it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastglm.errors import UsageError
from fastglm.models.architecture import TensorNames
from fastglm.models.facts import ModelFacts

EPSILON = 1e-5  # of norms; speed does not depend on it
_BLOCK = 1 << 20  # random numbers, which are repeated: speed does not depend on them


@dataclass(frozen=True, slots=True)
class Sizes:
    """A decoder with as many weights as a model: `matrices` in each layer, and a head.

    A peer looks up one row of the embedding per token, so the embedding's weights do not count, tied to the head or
    not.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    context: int
    gated: bool = False  # SwiGLU, RMS norms, no biases but of queries, keys and values; else GELU, layer norms, biases

    @classmethod
    def of(cls, facts: ModelFacts) -> "Sizes":
        """The sizes of a model. Raises `UsageError` if its layers differ from each other: no peer builds such a
        model.
        """
        shapes = {facts.shape(layer) for layer in range(facts.layers)}
        shape, hidden, width = shapes.pop(), facts.hidden, int(facts.head_dim or 0)
        if shapes or shape.query_heads * width != hidden:
            raise UsageError("a pruned model has layers that peers cannot build: name the model it was made from")
        attention = 2 * (shape.query_heads + shape.kv_heads) * width * hidden
        mlp = sum(rows * columns for rows, columns in facts.matrices(0)) - attention
        return cls(
            facts.layers,
            hidden,
            shape.query_heads,
            shape.kv_heads,
            shape.inner,
            facts.vocab_size,
            facts.context,
            gated=mlp == 3 * shape.inner * hidden,
        )

    @property
    def width(self) -> int:
        """Numbers per head."""
        return self.hidden // self.heads

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of a layer's matrices, by their roles in `TensorNames`."""
        return {
            "attention_in": ((self.heads + 2 * self.kv_heads) * self.width, self.hidden),
            "attention_out": (self.hidden, self.hidden),
            "mlp_in": ((2 if self.gated else 1) * self.inner, self.hidden),
            "mlp_out": (self.hidden, self.inner),
        }

    @property
    def weights(self) -> int:
        """Number of weights in the matrices that every token is multiplied by, including the head."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices.values()) + self.embedding

    @property
    def embedding(self) -> int:
        """Number of weights in the embedding, which the head has too."""
        return self.vocabulary * self.hidden

    def tensors(self, names: TensorNames) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every tensor of a checkpoint with these names."""
        biased = {"attention_in"} if self.gated else {*self.matrices, "norm"}
        embedding, head = names.ends
        yield embedding, (self.vocabulary, self.hidden)
        for layer in range(self.layers):
            for role, shape in self.matrices.items():
                called = getattr(names, role)
                name = names.layer(layer) + (called if isinstance(called, str) else called[0])
                yield f"{name}.weight", shape
                if role in biased:
                    yield f"{name}.bias", shape[:1]
        norms = [names.layer(n) + norm for n in range(self.layers) for norm in (names.attention_norm, names.mlp_norm)]
        for name in (*norms, names.final_norm):
            yield f"{name}.weight", (self.hidden,)
            if "norm" in biased:
                yield f"{name}.bias", (self.hidden,)
        yield head, (self.vocabulary, self.hidden)

    def check_plain(self) -> None:
        """Raise `UsageError` for a model with gated layers, on behalf of a peer that cannot build them."""
        if self.gated:
            raise UsageError("this comparison builds it with layers like those of ChatGLM-6B only")


def numbers() -> NDArray[np.float32]:
    """A block of random weights as in `shape:` models: normal, standard deviation 0.02."""
    return np.random.default_rng(0).standard_normal(_BLOCK, np.float32) * np.float32(0.02)


def plain(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The weight of a norm, all ones, or a bias, all zeros."""
    return np.full(shape, float(name.endswith("norm.weight")), np.float32)
