"""A compression as a job: the only form of its command that a worker accepts, and the places of its files."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastglm.errors import CheckpointError, UsageError
from fastglm.models.source import EMBEDDED, find_source
from fastglm.system.home import home

COMMAND = ["-m", "fastglm", "compress"]
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,59}", re.ASCII)
_TAKEN = (".", ".work", ".part", ".partial")  # suffixes that a compression gives to its own files


@dataclass(frozen=True, slots=True)
class Compression:
    """A requested compression. Creating one raises UsageError if it names something that visitors may not open or
    write.
    """

    model: str
    recipe: str  # a name, or a file in `FASTGLM_HOME/recipes`
    name: str  # name of the folder that it makes in `FASTGLM_HOME/models`
    texts: str | None = None  # an embedded model, for its world, or a file below `FASTGLM_HOME/texts`

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.endswith(_TAKEN):
            raise UsageError(
                f"{self.name!r} cannot be the name of a model: use up to 60 letters a-z, digits, dots, - and _, "
                "a letter or digit first."
            )
        if not _NAME.fullmatch(self.recipe) and not _lies_in("recipes", self.recipe):
            raise UsageError(f"{self.recipe!r} is neither a recipe's name nor a recipe that is kept here.")
        if self.texts not in (None, *EMBEDDED) and not _lies_in("texts", self.texts):
            raise UsageError(f"{self.texts!r} are not texts that are kept here.")
        with suppress(CheckpointError):  # its folder is gone; the command reports this
            find_source(self.model, restricted=True)

    @classmethod
    def of(cls, arguments: Sequence[str]) -> "Compression":
        """Parse a command's arguments. Raises UsageError as creating a Compression does, and for arguments that
        `arguments` would not give.
        """
        options = dict(zip(arguments[len(COMMAND) :: 2], arguments[len(COMMAND) + 1 :: 2], strict=False))
        model, recipe, name = (options.get(option, "") for option in ("--model", "--recipe", "--out"))
        found = cls(model, recipe, name, options.get("--texts"))
        if found.arguments() != list(arguments):
            raise UsageError("The command has options that a compression of the app does not have.")
        return found

    def arguments(self) -> list[str]:
        """Arguments for Python, to be run in `FASTGLM_HOME/models`."""
        texts = ["--texts", self.texts] if self.texts else []
        options = ["--model", self.model, "--recipe", self.recipe, "--out", self.name, *texts]
        return [*COMMAND, *options, "--progress", "json"]

    @property
    def folder(self) -> Path:
        """The folder that the command makes; it appears at the end."""
        return home() / "models" / self.name

    @property
    def work(self) -> Path:
        """The working folder, present until the end."""
        return self.folder.with_name(f"{self.name}.work")


def _lies_in(kept: str, file: str | None) -> bool:
    """Tell whether a path leads to a file below a folder of the home."""
    return (
        file is not None and Path(file).is_absolute() and Path(file).resolve().is_relative_to(home().resolve() / kept)
    )
