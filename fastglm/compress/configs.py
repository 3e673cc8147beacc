"""The effect of each step of a recipe on a config, found without any weight."""

from collections.abc import Collection
from copy import deepcopy
from typing import TypeVar

from ..errors import UsageError
from ..kernels.layout import get_layout
from ..models.facts import LayerShape, ModelFacts
from .size import predict_size

Facts = TypeVar("Facts", bound=ModelFacts)

MULTIPLES = (128, 64, 32, 16, 8, 4, 2, 1)  # multiples for the number of kept channels: the first one that suits a layer


def check_count(config: ModelFacts, layers: int) -> None:
    """Raise UsageError if this number of layers cannot be removed."""
    if not 1 <= layers < config.layers:
        raise UsageError(f"{layers} of {config.layers} layers cannot be removed: name 1 to {config.layers - 1}.")


def without_layers(config: Facts, removed: Collection[int]) -> Facts:
    """The config without these layers; the others keep the numbers they were trained with."""
    kept = [layer for layer in range(config.layers) if layer not in removed]
    smaller = config.with_layers([config.shape(layer) for layer in kept])
    smaller.layer_numbers = [config.layer_number(layer) for layer in kept]
    return smaller


def with_widths(config: Facts, channels: float, heads: float) -> Facts:
    """The config with these shares of the FFN channels and heads of every layer.

    Raises:
        UsageError: a share that is not above 0 and up to 1, or too large to remove anything, or a config that is 2:4.
    """
    if config.sparsity:
        raise UsageError("The model is 2:4 sparse, which narrower layers would not be: prune it before.")
    for name, share in (("channels", channels), ("heads", heads)):
        if not 0 < share <= 1:
            raise UsageError(f"{name} is {share}: the share to keep is above 0 and up to 1.")
    smaller = config.with_layers([narrowed(config.shape(layer), channels, heads) for layer in range(config.layers)])
    if predict_size(smaller) == predict_size(config):
        raise UsageError(
            f"With {channels:.0%} of the channels and {heads:.0%} of the heads nothing is removed: keep fewer."
        )
    return smaller


def narrowed(shape: LayerShape, channels: float, heads: float) -> LayerShape:
    """The widths of a layer with these shares; heads of keys go with the queries that they serve."""
    kv_heads = max(1, round(shape.kv_heads * heads))
    return LayerShape(shape.query_heads // shape.kv_heads * kv_heads, kv_heads, kept(shape.inner, channels))


def kept(width: int, share: float) -> int:
    """A share of a width, as a multiple of the first of `MULTIPLES` that suits it."""
    step = next(step for step in MULTIPLES if step == 1 or (width % step == 0 and width >= 8 * step))
    return max(step, round(width * share / step) * step)


def with_sparsity(config: Facts) -> Facts:
    """The config with 2:4 sparsity. Raises UsageError if it is 2:4 already, or has a width that is no multiple of 4."""
    if config.sparsity:
        raise UsageError("The model is 2:4 sparse already: use it as it is.")
    widths = {config.hidden_size, *(config.inner(layer) for layer in range(config.layers))}
    if odd := [width for width in sorted(widths) if width % 4]:
        raise UsageError(f"The model has layers {odd[0]} wide: 2:4 sparsity needs widths that 4 divides.")
    sparse = deepcopy(config)
    sparse.sparsity = "2:4"
    return sparse


def packed_config(config: Facts, weight_format: str, embedding_format: str | None) -> Facts:
    """The config of a checkpoint after packing. Raises UsageError for an unknown format."""
    for format in filter(None, (weight_format, embedding_format)):
        get_layout(format)
    packed = deepcopy(config)
    packed.weight_format, packed.embedding_format = weight_format, embedding_format
    return packed
