"""The record beside a compressed checkpoint, `fastglm.json`: its parent, its recipe, and the versions used."""

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import CheckpointError
from ..models.source import Source
from ..progress.progress import OnProgress, Progress
from ..system.files import read_json, replacing

if TYPE_CHECKING:  # pages read records without torch
    from ..models.checkpoint import Checkpoint

FILE = "fastglm.json"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the record of a checkpoint's making; None if it has none. Raises CheckpointError if it, or its list of
    parents, is broken.
    """
    if not (folder / FILE).is_file():
        return None
    made = read_json(folder / FILE)
    listed = made.get("parents", [])
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and isinstance(each.get("model"), str) for each in listed
    ):
        raise broken(folder)
    return made


def broken(folder: Path) -> CheckpointError:
    """The error for a record that no compression has written."""
    return CheckpointError(f"{folder / FILE} is not as a compression writes it: make the model again.")


def origin(source: Source) -> str:
    """The name of the model that a model was made from, by one recipe after another; otherwise its own name."""
    made = read_manifest(source.folder) if source.folder else None
    return made["parents"][-1]["model"] if made and made.get("parents") else source.name


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write to a temporary file and move it into place, so that a kill leaves the old file or the new one."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def checkpoint_files(checkpoint: "Checkpoint") -> list[Path]:
    """The files that define a checkpoint: weights, config and tokenizer."""

    others = [checkpoint.folder / name for name in ("config.json", *checkpoint.config.architecture.tokenizer_files)]
    return [*checkpoint.shards, *(path for path in others if path.is_file())]


def hash_files(paths: Iterable[Path], progress: OnProgress | None = None) -> dict[str, str]:
    """SHA-256 of every file, by its name."""
    paths = sorted(paths)
    total = sum(path.stat().st_size for path in paths)
    hashes, done = {}, 0
    for path in paths:
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        done += path.stat().st_size
        if progress:
            progress(Progress("check the files", done, total, "B"))
    return hashes


def parents(model: str, folder: Path, files: dict[str, str]) -> list[dict[str, Any]]:
    """The records of a model and of its parents, nearest first."""
    made = read_manifest(folder) or {}
    return [{"model": model, "files": files, "recipe": made.get("recipe")}, *made.get("parents", [])]


def versions() -> dict[str, str]:
    """Versions of the software that runs the steps."""
    return {"fastglm": __version__} | {name: version(name) for name in ("torch", "transformers")}
