"""The files of a checkpoint, found and read without torch: its config, and the files of its weights."""

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..system.files import open_regular, read_json
from . import foreign
from .architecture import layout_of, model_types, own_fields, recognize
from .facts import ModelFacts
from .relatives import check_relative

_SINGLE = ("model.safetensors", "pytorch_model.bin")
_SHARD = re.compile(r"-(\d{1,6})-of-(\d{1,6})\.")
_LFS = b"version https://git-lfs"
_NAMED = 3  # names in an error


class CheckpointFolder:
    """A folder with a config and weights. Creating one reads the config and checks that every weight file can be
    opened.
    """

    def __init__(self, folder: Path) -> None:
        """Raise CheckpointError: no or another model's config, no weights, a missing shard, a Git-LFS pointer."""
        self.folder = folder
        stored = _stored_fields(folder)
        self.layout = layout_of(stored)
        self.fields = own_fields(stored)
        self.names = recognize(self.fields).tensors
        self.facts = facts_of(self.fields)
        self.shards, self.index = _find_shards(folder)
        for shard in self.shards:
            _check_file(shard)

    @property
    def size(self) -> int:
        """Bytes of the weight files."""
        return sum(shard.stat().st_size for shard in self.shards)

    def content_hash(self) -> str:
        """SHA-256 of the config and the weight files, equal for the same checkpoint on any machine."""
        digest = hashlib.sha256((self.folder / "config.json").read_bytes())
        for shard in self.shards:
            with shard.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def read_fields(folder: Path) -> dict[str, Any]:
    """The fields of the config of a folder, which may contain nothing else yet, in the layout of its architecture.

    Raises:
        CheckpointError: it belongs to no supported architecture, or another program has quantized the weights.
    """
    return own_fields(_stored_fields(folder))


def _stored_fields(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.exists():
        known = foreign.name_folder(folder)
        raise CheckpointError(known or f"{folder} has no config.json: name a folder that holds a ChatGLM checkpoint.")
    fields = read_json(path)
    check_relative(fields)
    found = fields.get("model_type")
    if not isinstance(found, str) or found not in model_types():
        raise CheckpointError(
            f"{folder} holds a model of type {short(repr(found))}, not chatglm: name a ChatGLM checkpoint."
        )
    foreign.check_config(folder, fields)
    return fields


def facts_of(fields: Mapping[str, Any]) -> ModelFacts:
    """The facts in the fields of a config.json. Raises CheckpointError if they cannot describe a model."""
    facts = recognize(fields).facts_class.from_fields(fields)
    facts.check()
    return facts


def _check_file(shard: Path) -> None:
    """Raise CheckpointError if a file is missing, empty, or a pointer to weights elsewhere."""
    try:
        with open_regular(shard) as file:
            start = file.read(len(_LFS))
    except OSError as error:
        raise CheckpointError(f"{shard} cannot be read ({error.strerror}): fetch it again.") from error
    if start == _LFS:
        raise CheckpointError(
            f"{shard} is a Git-LFS pointer, not the weights: run `git lfs pull` in the folder, or download the file."
        )


def _find_shards(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The weight files, and the file of every tensor if there is an index."""
    for single in _SINGLE:
        index = folder / f"{single}.index.json"
        if index.exists():
            names = read_json(index).get("weight_map")
            if (
                not isinstance(names, dict)
                or not names
                or not all(isinstance(n, str) and Path(n).name == n and _is_weights(n) for n in names.values())
            ):
                raise CheckpointError(f"{index} names no weight files: fetch it again.")
            return _present(folder, set(names.values()), "which its index names"), names
        if (folder / single).exists():
            return [folder / single], {}
        if shards := _unlisted(folder, single):
            return shards, {}
    known = foreign.name_folder(folder)
    raise CheckpointError(known or f"{folder} has no weights ({' or '.join(_SINGLE)}, or their shards): fetch them.")


def _unlisted(folder: Path, single: str) -> list[Path]:
    """Shards that no index names, by the numbers in their own names."""
    stem, _, kind = single.partition(".")
    found = {p.name: numbers for p in folder.glob(f"{stem}-*-of-*.{kind}") if (numbers := _SHARD.search(p.name))}
    if not found:
        return []
    of, width = max((int(numbers[2]), len(numbers[2])) for numbers in found.values())
    names = {f"{stem}-{number:0{width}}-of-{of:0{width}}.{kind}" for number in range(1, of + 1)}
    return _present(folder, names | found.keys(), f"of {of} shards")


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _present(folder: Path, names: Collection[str], told: str) -> list[Path]:
    if missing := [name for name in sorted(names) if not (folder / name).is_file()]:
        raise CheckpointError(f"{folder} lacks {listed(missing)}, {told}: fetch it again.")
    return [folder / name for name in sorted(names)]


def listed(names: Collection[str]) -> str:
    """Some of the names, and the number of the others."""
    first = ", ".join(map(short, sorted(names)[:_NAMED]))
    return f"{first} and {len(names) - _NAMED} more" if len(names) > _NAMED else first


def short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = "".join(letter if letter.isprintable() else "?" for letter in text[:200])
    return text if len(text) <= 120 else f"{text[:117]}…"
