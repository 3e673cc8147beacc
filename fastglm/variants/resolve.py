"""The origin of a variant's weights: the only module that knows."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..models.adapter import Adapter
from ..models.source import Source
from .compressed import find_embedded, find_made, how_to_make
from .variants import Variant


@dataclass(frozen=True, slots=True)
class Weights:
    """Origin of a variant's weights.

    The checkpoint of `source`, unchanged or quantized on first use; or `made`, a checkpoint that a recipe made from it
    earlier, such as the calibrated `int4` that comes with an embedded model. Under `shape:` weights are random, and a
    recipe changes the config. `draft` names the variant that drafts, `reason` says why the weights are not available
    yet, and which command makes them. `adapter` is used with them.
    """

    source: Source
    variant: Variant
    made: Path | None = None
    draft: str | None = None
    reason: str | None = None
    adapter: Adapter | None = None


def resolve(source: Source, variant: Variant, adapter: Adapter | None = None) -> Weights:
    """The weights of a variant of a model, with an adapter. Downloads nothing and makes nothing."""
    return replace(_weights(source, variant), adapter=adapter)


def _weights(source: Source, variant: Variant) -> Weights:
    if source.kind == "shape":
        return Weights(source, variant, draft=next(iter(variant.drafts), None))
    if variant.recipe:
        made = find_made(source, variant.recipe)
        return Weights(source, variant, made, reason=None if made else how_to_make(source, variant.recipe))
    draft = next((name for name in variant.drafts if find_made(source, name)), None)
    if variant.drafts and not draft:
        best = variant.drafts[0]
        return Weights(source, variant, reason=f"needs {best} to draft, which {how_to_make(source, best)}")
    return Weights(source, variant, find_embedded(source, variant.name), draft)
