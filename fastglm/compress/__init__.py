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
    """Make a compressed checkpoint folder, which `fastglm.load` and `from_pretrained` read back.

    Finished steps lie beside it in `<out>.work`; the same call after a stop continues with them.

    Args:
        model: a model as for `fastglm.load`, except shapes.
        recipe: a name such as `int4` or `turbo`, a YAML file, or a recipe (see `recipe`).
        out: a new folder; it appears when it is complete, with its record `fastglm.json`.
        texts: for learning, calibration and scoring: a file (see `text_files.read_texts`), the name of an embedded
        model for its world, or texts. Without them quantizing rounds to nearest; other steps need them.
        device: the device that runs layers, as in `fastglm.load`.

    Raises:
        UsageError: an unknown or wrong recipe; an `out` that exists or that another process makes; a model without
        weights, already quantized or too small for a step; texts that are missing, unreadable or too few.
        CheckpointError, DeviceError, MemoryShortError: the model or the device cannot be used.
        DiskShortError: the disk has too little space, found before starting.
        DivergedError: the loss of a distillation became infinite or NaN.
        CancelledError: the user stopped it with Ctrl-C.
    """
    from ..errors import UsageError
    from ..hosting.sweep import sweep
    from ..models.source import find_trained
    from ..system.making import alone
    from .pipeline import Pipeline
    from .recipe import Recipe, find_recipe

    chosen = recipe if isinstance(recipe, Recipe) else find_recipe(recipe)
    source = find_trained(model)
    sweep()
    chosen.check_texts(texts is not None)
    out = Path(os.path.abspath(out))
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already: name a folder that does not.")
    with alone(out):  # before any look at finished steps, which another process may be writing
        return Pipeline(source.name, source.fetch(), chosen, out, _read(texts), device, progress).run()


def _read(texts: "str | Path | Sequence[Text] | None") -> "Texts | None":
    from ..models.source import EMBEDDED
    from ..text_files import read_texts

    if not isinstance(texts, str | Path):
        return texts
    return texts if isinstance(texts, str) and texts in EMBEDDED else read_texts(Path(texts))
