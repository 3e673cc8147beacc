"""Reading a checkpoint folder, one shard at a time: sharded or single, safetensors or `.bin`."""

import copy
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, UsageError
from . import foreign
from .architecture import recognize
from .base import ModelConfig
from .folder import CheckpointFolder, listed, read_fields, short
from .other_layout import stored_parts
from .weights import is_finite, is_kind, read_tensors

SCALE = "weight_scale"  # the end of the names of a quantized matrix's scales


class Checkpoint(CheckpointFolder):
    """The tensors of a checkpoint's folder. `places` checks all of them against the config, and `tensors` and `named`
    read them.

    Names are those of the architecture's own layout; a folder in another one may store a matrix in several parts.
    """

    def __init__(self, folder: Path, generation: str = "auto") -> None:
        """Read the config.

        Args:
            generation: the generation of an architecture that has several; `auto`: as its files tell.

        Raises:
            CheckpointError: as `CheckpointFolder` does.
            UsageError: a generation for an architecture that has one alone.
        """
        super().__init__(folder)
        self.config = _config(folder, self.fields, generation)
        stored = self.layout.tensors if self.layout else self.names
        self._embedding, self._head, self._unused = f"{stored.embedding}.", f"{stored.head}.", stored.unused
        self._finite: set[str] = set()
        self._is_head_alone = False

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield names and tensors on the CPU, with at most one shard mapped into memory at a time, without tables that
        follow from the config.

        Raises:
            CheckpointError: an error of `places`, or a number that is NaN or infinite.
        """
        assert self.places is not None  # all are checked before the first is used
        owners = {part: name for name, parts in self._parts.items() for part in parts}
        read: dict[str, Tensor] = {}
        for shard in self.shards:
            for stored, tensor in read_tensors(shard):
                if stored.endswith(self._unused):
                    continue
                part = self._called(stored)
                read[part] = self._checked(stored, tensor)
                if read.keys() >= (parts := self._parts[owners[part]]).keys():
                    yield owners[part], _joined([read.pop(each) for each in parts])

    def named(self, names: Collection[str]) -> dict[str, Tensor]:
        """The tensors of these names on the CPU, mapped from their files if possible.

        Raises:
            CheckpointError: an error of `places`, a missing tensor, or a number that is NaN or infinite.
        """
        if missing := set(names) - self.places.keys():
            raise self._lacks(missing)
        wanted = {self._stored(part) for name in names for part in self._parts[name]}
        read = {}
        for shard in {shard for name in names for shard in self.places[name]}:
            for stored, tensor in read_tensors(shard, wanted):
                read[self._called(stored)] = self._checked(stored, tensor)
        return {name: _joined([read[part] for part in self._parts[name]]) for name in names}

    @cached_property
    def places(self) -> dict[str, set[Path]]:
        """The weight files of every tensor.

        Raises:
            CheckpointError: a file is truncated or corrupt, or has a tensor that the config does not; a tensor is
            missing, occurs twice, or has another shape or type.
        """
        found: dict[str, Path] = {}
        expected = {part: form for parts in self._parts.values() for part, form in parts.items()}
        for shard in self.shards:
            for name, tensor in read_tensors(shard):
                if name in found:
                    raise CheckpointError(
                        f"{self.folder} holds {short(name)} twice, in {found[name].name} and {shard.name}: "
                        "remove the file that does not belong there."
                    )
                found[name] = shard
                if not name.endswith(self._unused):
                    self._check_form(name, tensor, expected)
        self._check_index(found)
        self._is_head_alone = self.config.tie_word_embeddings and not any(n.startswith(self._embedding) for n in found)
        found = {self._called(name): shard for name, shard in found.items()}
        head = {name for name in expected if name.startswith(self._head)}
        if found and all(name.startswith(f"{self.names.prefix}.") for name in found):
            raise CheckpointError(
                f"{self.folder} holds a learned prefix alone (P-Tuning v2): name the model that it was tuned for, and "
                "this folder as its adapter (--adapter)."
            )
        if missing := expected.keys() - found.keys() - (head if self.config.tie_word_embeddings else set()):
            raise self._lacks(missing)
        if not head.isdisjoint(found) and (missing := head - found.keys()):
            raise self._lacks(missing)
        whole = (item for item in self._parts.items() if found.keys() >= item[1].keys())
        return {name: {found[part] for part in parts} for name, parts in whole}

    @cached_property
    def _parts(self) -> dict[str, dict[str, Tensor]]:
        """By tensor that a model of the config may have: the stored ones that it is made of, on the meta device."""
        expected = _expected(self.config)
        if self.layout is None:
            return {name: {name: form} for name, form in expected.items()}
        return {name: stored_parts(name, form, self.config, self.layout) for name, form in expected.items()}

    @property
    def pad(self) -> int:
        """The token that fills rows up."""
        return self.config.pad

    @property
    def head(self) -> str:
        """The name of the matrix that gives logits: the embedding's if no head is stored."""
        embedding, head = self.names.ends
        return head if head in self.places else embedding

    def settle_head(self) -> None:
        """Set in the config whether head and embedding are one matrix: stored once, or twice and equal."""
        head, embedding = f"{self.names.head}.", f"{self.names.embedding}."
        parts = [name.removeprefix(head) for name in self.places if name.startswith(head)]
        pairs = (self.named([head + part, embedding + part]) for part in parts)
        self.config.tie_word_embeddings = all(torch.equal(*pair.values()) for pair in pairs)

    def _called(self, stored: str) -> str:
        """The name of a stored tensor: a single matrix for head and embedding may be stored as the head."""
        if self._is_head_alone and stored.startswith(self._head):
            return self._embedding + stored.removeprefix(self._head)
        return stored

    def _stored(self, name: str) -> str:
        if self._is_head_alone and name.startswith(self._embedding):
            return self._head + name.removeprefix(self._embedding)
        return name

    def _checked(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor, checked once."""
        if name not in self._finite and not is_finite(tensor):
            raise CheckpointError(f"{self.folder}: {name} holds NaN or infinite numbers: fetch the weights again.")
        self._finite.add(name)
        return tensor

    def _check_form(self, name: str, tensor: Tensor, expected: dict[str, Tensor]) -> None:
        wanted = expected.get(name)
        if wanted is None:
            raise no_place(name)
        check_form(name, tensor, wanted)

    def _check_index(self, found: dict[str, Path]) -> None:
        """Raise CheckpointError if a tensor is not in the file that the index names for it."""
        for name, file in self.index.items():
            if name not in found or found[name].name != file:
                raise CheckpointError(
                    f"{self.folder}: its index says that {short(name)} is in {file}, which does not hold it: "
                    "fetch both again."
                )

    def _lacks(self, names: Collection[str]) -> CheckpointError:
        return CheckpointError(
            f"The checkpoint {self.folder} lacks {listed(names)}: a shard is missing; fetch it again."
        )


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _expected(config: ModelConfig) -> dict[str, Tensor]:
    """Every tensor that a model of the config may have, on the meta device; also an optional head."""
    untied = copy.deepcopy(config)
    untied.tie_word_embeddings = False
    with torch.device("meta"):
        return config.architecture.model_class(untied).state_dict()


def no_place(name: str) -> CheckpointError:
    """The error for a stored tensor that the config knows nothing of."""
    if maker := foreign.maker_of([name]):
        return CheckpointError(
            f"The checkpoint holds tensors of {maker}, {short(name)} among them: "
            "name the checkpoint that it was made from."
        )
    if name.endswith(SCALE):
        return CheckpointError(
            f"The checkpoint holds {short(name)}, so that its weights are quantised, and config.json does not say so: "
            "set quantization_bit to 8 or 4 there."
        )
    return CheckpointError(f"The checkpoint holds {short(name)}, which its config has no place for: check config.json.")


def other_shape(name: str, stored: Sequence[int], wanted: Sequence[int]) -> CheckpointError:
    """The error for a stored tensor of another shape than the config wants."""
    return CheckpointError(
        f"{name} is {short(tuple(stored))} in the checkpoint and {tuple(wanted)} by its config: "
        "config.json and the weights are not of the same model."
    )


def check_form(name: str, tensor: Tensor, wanted: Tensor) -> None:
    """Raise CheckpointError if a stored tensor has another type or shape than the config wants."""
    if not is_kind(tensor, wanted):
        kind = "floating point" if wanted.is_floating_point() else _word(wanted.dtype)
        advice = "config.json and the weights are not of the same model"
        if {tensor.dtype, wanted.dtype} & {torch.int8, torch.uint8}:
            advice = f"{advice}, or quantization_bit does not say how these are quantised"
        raise CheckpointError(f"{name} is of {_word(tensor.dtype)} in the checkpoint and must be {kind}: {advice}.")
    if tensor.shape != wanted.shape:
        raise other_shape(name, tensor.shape, wanted.shape)


def read_config(folder: Path) -> ModelConfig:
    """The config of a folder, which may contain nothing else yet. Raises CheckpointError if it belongs to no supported
    architecture.
    """
    return _config(folder, read_fields(folder))


def _config(folder: Path, fields: dict[str, Any], generation: str = "auto") -> ModelConfig:
    known = recognize(fields)
    if generation != "auto":
        if not known.config_class.has_generations:
            raise UsageError(f"{known.name} has one generation alone: leave generation out.")
        fields = {**fields, "generation": generation}
    config = known.config_class.from_dict(fields, name_or_path=str(folder))
    config.check()
    config.output_attentions = False  # nothing here asks for attentions; with True transformers refuses to save
    return config


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
