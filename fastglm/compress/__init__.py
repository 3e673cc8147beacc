"""Compression of checkpoints."""

from pathlib import Path

from ..errors import UsageError
from ..kernels import FORMATS
from ..models.source import find_source
from ..progress import OnProgress
from ..variants import VARIANTS
from .calibration import DEMO_SAMPLES, demo_samples, read_texts
from .quantize import quantise_folder


def compress(
    model: str,
    recipe: str,
    out: str | Path,
    texts: str | Path | None = None,
    progress: OnProgress | None = None,
    *,
    embedding: str | None = None,
    device: str = "auto",
) -> Path:
    """Makes a compressed checkpoint folder, which `fastglm.load` and `from_pretrained` read back.

    Args:
        model: what `fastglm.load` takes, but for shapes.
        recipe: `int8` or `int4`, or a name of `fastglm.kernels.FORMATS`, such as `int4-g32`.
        out: a folder that does not exist yet; it appears when it is whole.
        texts: a file to calibrate on, rounding by GPTQ (see `calibration.read_texts`), or `demo`: rounds of the demo
            model's world; None: rounds to nearest.
        embedding: the format of embedding and head where they have one of their own.
        device: where to calibrate, as in `fastglm.load`.

    Raises:
        UsageError: an unknown recipe or format, an `out` that exists, a model with no weights or quantised already,
            texts that cannot be read or are too few.
        CheckpointError: the model cannot be read.
        DiskShortError: the disk has too little room.
    """
    recipes = {name: variant.weight_format for name, variant in VARIANTS.items() if variant.weight_format}
    recipes |= {name: name for name in FORMATS}
    if recipe not in recipes:
        raise UsageError(f"Unknown recipe {recipe!r}; known are {', '.join(recipes)}.")
    source = find_source(model)
    if source.kind == "shape":
        raise UsageError(f"{model} has random weights, nothing to compress: run its {recipe} variant instead.")
    rounds = None if texts is None else demo_samples(DEMO_SAMPLES) if texts == "demo" else read_texts(Path(texts))
    quantise_folder(
        source.fetch(),
        recipes[recipe],
        Path(out),
        progress,
        texts=rounds,
        embedding_format=recipes.get(embedding, embedding) if embedding else None,
        device=device,
    )
    return Path(out)
