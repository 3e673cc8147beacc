"""Compression of checkpoints."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# `fastglm` has this function under the name of this package, and must have it before anyone imports a module from here.
# So nothing that needs torch is imported with it.
if TYPE_CHECKING:
    from ..progress.progress import OnProgress
    from ..text_files import Text
    from .recipe import Recipe
    from .text_split import Texts


def compress(
    model: str | Path,
    recipe: "str | Path | Recipe",
    out: str | Path,
    texts: "str | Path | Sequence[Text] | None" = None,
    progress: "OnProgress | None" = None,
    *,
    device: str = "auto",
) -> Path:
    """Makes a compressed checkpoint folder, which `fastglm.load` and `from_pretrained` read back.

    Beside it, in `<out>.work`, lies what is done so far; the same call goes on with it after a stop.

    Args:
        model: what `fastglm.load` takes, but for shapes.
        recipe: a name, such as `int4` or `turbo`, a file in YAML, or a recipe (see `recipe`).
        out: a folder that does not exist yet; it appears when it is whole, with its record `fastglm.json`.
        texts: to learn from, to calibrate and to score on: a file (see `calibration.read_texts`), `demo` for the demo
            model's world, or texts. Quantising without them rounds to nearest; other steps need them.
        device: where to run layers, as in `fastglm.load`.

    Raises:
        UsageError: an unknown or wrong recipe, an `out` that exists or that another process makes, a model with no
            weights, quantised already or too small for a step, texts that are missing, cannot be read or are too few.
        CheckpointError, DeviceError, MemoryShortError: the model or the device cannot be used.
        DiskShortError: the disk has too little room, found before starting.
        DivergedError: a distillation's loss became no number.
        CancelledError: stopped with Ctrl-C.
    """
    from ..errors import UsageError
    from ..hosting.sweep import sweep
    from ..models.source import find_source
    from ..system.making import alone
    from .pipeline import Pipeline
    from .recipe import Recipe, find_recipe

    chosen = recipe if isinstance(recipe, Recipe) else find_recipe(recipe)
    source = find_source(model)
    if source.kind == "shape":
        raise UsageError(f"{model} has random weights, nothing to compress: name a checkpoint or demo.")
    sweep()
    chosen.check_texts(texts is not None)
    out = Path(os.path.abspath(out))
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already: name a folder that does not.")
    with alone(out):  # what is done so far is another's, too
        return Pipeline(source.name, source.fetch(), chosen, out, _read(texts), device, progress).run()


def _read(texts: "str | Path | Sequence[Text] | None") -> "Texts | None":
    from .calibration import read_texts

    if not isinstance(texts, str | Path):
        return texts
    return "demo" if texts == "demo" else read_texts(Path(texts))
