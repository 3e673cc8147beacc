"""Conversion of a checkpoint: the checks before it, and the writer of each layout."""

import os
from functools import partial
from pathlib import Path

from ..errors import UsageError
from ..models.architecture import layout_of
from ..models.source import find_source
from ..progress.progress import OnProgress
from ..system.files import read_json
from ..system.making import alone
from .kinds import Kind, Layout


def convert(
    model: str | Path,
    to: Layout,
    out: str | Path,
    kind: Kind = Kind.f16,
    progress: OnProgress | None = None,
    *,
    generation: str = "auto",
) -> Path:
    """Convert a checkpoint of ChatGLM2, 3, GLM-4 or CodeGeeX in the published layout.

    Args:
        model: a folder or a hub id.
        to: `glm`, a folder for transformers' own `GlmForCausalLM`, or `gguf`, a file for llama.cpp.
        out: a new folder or file; it appears when it is complete.
        kind: the type of the matrices in a GGUF file.
        generation: as for `fastglm.load`.

    Raises:
        UsageError: `out` exists, or the checkpoint has no counterpart in the other program, or needs no conversion.
        CheckpointError: the checkpoint cannot be read, or its tokenizer has rules that the other one lacks.
        DiskShortError: the disk has too little space, found before starting.
    """
    out = Path(os.path.abspath(out))
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already: name a path that does not.")
    named = find_source(model)
    if named.kind == "shape":
        raise UsageError(f"{model} has random weights, nothing to convert: name a checkpoint.")
    folder = named.fetch(partial(_check_layout, to))
    from .source import Source  # takes torch along

    source = Source.open(folder.name if named.kind == "folder" else named.name, folder, generation)
    with alone(out):
        if to is Layout.glm:
            from .glm_folder import write_glm

            write_glm(source, out, progress)
        else:
            from .gguf_file import write_gguf

            write_gguf(source, out, kind, progress)
    return out


def _check_layout(to: Layout, folder: Path) -> None:
    """Raise UsageError for a checkpoint that is in transformers' own layout."""
    if not (folder / "config.json").is_file():
        return  # opening it says more
    fields = read_json(folder / "config.json")
    layout = layout_of(fields)
    if layout is None:
        return
    found = f"{folder} is in {layout.name} ({fields['model_type']})"
    if to is Layout.glm:
        raise UsageError(f"{found} already: there is nothing to convert.")
    raise UsageError(
        f"{found}, which this command does not write as GGUF: llama.cpp's own convert_hf_to_gguf.py reads it."
    )
