"""Compression of checkpoints."""

from pathlib import Path

from ..errors import UsageError
from ..models.source import find_source
from ..progress import OnProgress
from ..variants import VARIANTS
from .quantize import quantise_folder


def compress(model: str, recipe: str, out: str | Path, progress: OnProgress | None = None) -> Path:
    """Makes a compressed checkpoint folder, which `fastglm.load` and `from_pretrained` read back.

    Args:
        model: what `fastglm.load` takes, but for shapes.
        recipe: `int8` or `int4` (round-to-nearest).
        out: a folder that does not exist yet; it appears when it is whole.

    Raises:
        UsageError: unknown recipe, an `out` that exists, a model with no weights.
        CheckpointError: the model cannot be read.
    """
    recipes = {name: variant.weight_format for name, variant in VARIANTS.items() if variant.weight_format}
    weight_format = recipes.get(recipe)
    if weight_format is None:
        raise UsageError(f"Unknown recipe {recipe!r}; known are {', '.join(recipes)}.")
    source = find_source(model)
    if source.kind == "shape":
        raise UsageError(f"{model} has random weights, nothing to compress: run its {recipe} variant instead.")
    quantise_folder(source.fetch(), weight_format, Path(out), progress)
    return Path(out)
