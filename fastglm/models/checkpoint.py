"""Reading a checkpoint folder, one shard at a time: sharded or single, safetensors or `.bin`."""

import hashlib
import pickle
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from ..files import read_json
from .config import ChatGLM6BConfig, ChatGLMConfig

# Names in the published layout: matrices, and what the names of a norm's and a layer's tensors begin with.
EMBEDDING, HEAD = "transformer.word_embeddings.weight", "lm_head.weight"
NORM, LAYER = "transformer.final_layernorm.", "transformer.layers.{}."
_SINGLE = ("model.safetensors", "pytorch_model.bin")
_LFS = b"version https://git-lfs"


class Checkpoint:
    """A folder with a config and weights. Making one reads the config and checks that every weight file is whole
    enough to open; `tensors` reads them."""

    def __init__(self, folder: Path) -> None:
        """Raises CheckpointError: no or another model's config, no weights, a missing shard, a Git-LFS pointer."""
        self.folder = folder
        self.config = _read_config(folder)
        self.shards = _find_shards(folder)
        for shard in self.shards:
            _check_file(shard)

    @property
    def size(self) -> int:
        """Bytes of the weight files."""
        return sum(shard.stat().st_size for shard in self.shards)

    def content_hash(self) -> str:
        """SHA-256 of the config and the weight files: the same for the same checkpoint on any machine."""
        digest = hashlib.sha256((self.folder / "config.json").read_bytes())
        for shard in self.shards:
            with shard.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors on the CPU, at most one shard mapped into memory at a time.

        Raises:
            CheckpointError: a file is truncated or corrupt.
        """
        for shard in self.shards:
            yield from _read(shard)

    @cached_property
    def places(self) -> dict[str, Path]:
        """The weight file of every tensor. Raises CheckpointError: a file is truncated or corrupt."""
        return {name: shard for shard in self.shards for name, _ in _read(shard)}

    def named(self, names: Collection[str]) -> dict[str, Tensor]:
        """The tensors of these names on the CPU, mapped from their files where that is possible.

        Raises:
            CheckpointError: one is missing, or a file is truncated or corrupt.
        """
        if missing := sorted(set(names) - self.places.keys()):
            raise CheckpointError(f"{self.folder} lacks {', '.join(missing[:3])}: a shard is missing; fetch it again.")
        return dict(part for shard in {self.places[name] for name in names} for part in _read(shard, names))


def _read_config(folder: Path) -> ChatGLM6BConfig:
    path = folder / "config.json"
    if not path.exists():
        raise CheckpointError(f"{folder} has no config.json: name a folder that holds a ChatGLM checkpoint.")
    fields = read_json(path)
    found = fields.get("model_type")
    if found != "chatglm":
        raise CheckpointError(f"{folder} holds a model of type {found!r}, not chatglm: name a ChatGLM checkpoint.")
    config = ChatGLMConfig.from_dict(fields, name_or_path=str(folder))
    config.check()
    return config


def _find_shards(folder: Path) -> list[Path]:
    for single in _SINGLE:
        index = folder / f"{single}.index.json"
        if index.is_file():
            names = read_json(index).get("weight_map")
            if not isinstance(names, dict) or not all(isinstance(n, str) and Path(n).name == n for n in names.values()):
                raise CheckpointError(f"{index} names no weight files: fetch it again.")
            shards = [folder / name for name in sorted(set(names.values()))]
            missing = [shard.name for shard in shards if not shard.is_file()]
            if missing:
                raise CheckpointError(
                    f"{folder} lacks {', '.join(missing)}, which its index names: fetch the file again."
                )
            return shards
        if (folder / single).is_file():
            return [folder / single]
    raise CheckpointError(f"{folder} has no weights ({' or '.join(_SINGLE)}, or their shards): fetch them.")


def _check_file(shard: Path) -> None:
    with shard.open("rb") as file:
        start = file.read(len(_LFS))
    if start == _LFS:
        raise CheckpointError(
            f"{shard} is a Git-LFS pointer, not the weights: run `git lfs pull` in the folder, or download the file."
        )


def _corrupt(shard: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{shard} is truncated or corrupt ({str(error).splitlines()[0][:120]}): fetch it again.")


def _read(shard: Path, names: Collection[str] | None = None) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a file, or those of `names`."""
    return (_read_safetensors if shard.suffix == ".safetensors" else _read_bin)(shard, names)


def _read_safetensors(shard: Path, names: Collection[str] | None) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # not a dict
                if names is None or name in names:
                    yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise _corrupt(shard, error) from error


def _read_bin(shard: Path, names: Collection[str] | None) -> Iterator[tuple[str, Tensor]]:
    try:
        try:
            state = torch.load(shard, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            state = torch.load(shard, map_location="cpu", weights_only=True)  # the format before torch 1.6
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise _corrupt(shard, error) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{shard} holds no table of weights: fetch it again.")
    while state:
        name = next(iter(state))
        tensor = state.pop(name)
        if names is None or name in names:
            yield name, tensor
