"""Sources of models (embedded ones, a folder, a hub, a shape with random weights), and the rules for visitors."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from ..errors import CheckpointError, FastGLMError, UsageError
from ..system.home import home
from .architecture import architectures
from .folder import CheckpointFolder
from .foreign import name_file, name_folder

# Embedded models, and the folders of their checkpoints in `fastglm.demo`; recipes' results lie in `variants` beside it.
EMBEDDED = {"demo": "checkpoint", "demo-glm": "glm/checkpoint"}
SHAPES = {name: layers for known in architectures() for name, layers in known.shapes.items()}
_SHAPE = re.compile(r"shape:(?P<name>[\w.-]+)(@(?P<layers>\d{1,6}))?")
# The hub's rule: up to 96 characters, no -- and .., no dot, hyphen or .git at the end.
_HUB_ID = re.compile(r"(modelscope:)?(?=.{3,96}$)(?!.*(--|\.\.|[-.]$|\.git$))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Source:
    """A model that may be opened. `folder` is set for embedded models and for folders, `layers` for shapes,
    `restricted` for a visitor's hub id.
    """

    name: str
    kind: Literal["embedded", "folder", "hub", "shape"]
    folder: Path | None = None
    layers: int = 0
    shape: str = ""
    restricted: bool = False

    def fetch(self, check: Callable[[Path], None] | None = None) -> Path:
        """The folder of the checkpoint; downloads it from a hub if needed.

        Args:
            check: called with a folder that has the config, before weights are downloaded; it may raise an error.

        Raises:
            CheckpointError, DiskShortError, UsageError: as `download` does.
        """
        if self.folder is None:
            from .download import download

            return download(self.name, self.restricted, check)
        if check:
            check(self.folder)
        return self.folder


def demo_folder(model: str = "demo") -> Path:
    """The checkpoint of an embedded model."""
    return Path(str(files("fastglm.demo"))) / EMBEDDED[model]


def find_source(model: str | Path, restricted: bool = False) -> Source:
    """Find the model that a string or a folder names. Opens nothing except the start of a file in place of a folder.

    Args:
        model: a name in `EMBEDDED`, `shape:chatglm-6b` (`@5`: its first 5 layers), a folder, a hub id, `modelscope:`
        and an id.
        restricted: the rule for visitors of the app: folders only below those in `allowed_folders`.

    Raises:
        UsageError: the string means nothing, or may not be opened.
        CheckpointError: the folder does not exist.
    """
    is_id = isinstance(model, str) and _HUB_ID.fullmatch(model) is not None
    model = os.fspath(model)
    if model in EMBEDDED:
        return Source(model, "embedded", demo_folder(model))
    if model.startswith("shape:"):
        return _find_shape(model)
    path = as_path(model)
    if is_id and (restricted or not path.is_dir()):
        return Source(model, "hub", restricted=restricted)
    if restricted and not any(path.resolve().is_relative_to(root) for root in allowed_folders()):
        raise UsageError(
            f"{model!r} may not be opened here: put the checkpoint into {home() / 'models'}, "
            "or start the app with its folder in FASTGLM_MODEL_DIRS."
        )
    if not path.is_dir():
        if known := name_file(path):
            raise CheckpointError(known)
        hint = "it is a file; name the folder it lies in" if path.is_file() else "there is no such folder"
        raise CheckpointError(
            f"{model!r}: {hint}. A model is {' or '.join(EMBEDDED)}, a checkpoint folder, a hub id or shape:chatglm-6b."
        )
    return Source(str(path.resolve()), "folder", path.resolve())


def find_trained(model: str | Path, advice: str = "name a checkpoint or demo") -> Source:
    """Find a model as `find_source` does. Raises UsageError for a shape too: its weights are random."""
    source = find_source(model)
    if source.kind == "shape":
        raise UsageError(f"{model} has random weights, whose answers have no quality: {advice}.")
    return source


def as_path(model: str) -> Path:
    """Convert to a path. Raises UsageError if no disk can have it."""
    try:
        path = Path(model).expanduser()
        path.resolve().is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{model[:80]!r} cannot be a folder ({error}): name a checkpoint folder or a hub id."
        ) from error
    return path


def _find_shape(model: str) -> Source:
    found = _SHAPE.fullmatch(model)
    if not found or found["name"] not in SHAPES:
        raise UsageError(f"Unknown shape {model!r}; known are {', '.join('shape:' + name for name in SHAPES)}.")
    layers = int(found["layers"] or SHAPES[found["name"]])
    if not 1 <= layers <= SHAPES[found["name"]]:
        raise UsageError(f"{model!r}: the number after @ is of layers, 1 to {SHAPES[found['name']]}.")
    return Source(model, "shape", layers=layers, shape=found["name"])


def allowed_folders() -> list[Path]:
    """The folders below which visitors of the app may open checkpoints."""
    named = os.environ.get("FASTGLM_MODEL_DIRS", "").split(os.pathsep)
    return [(home() / "models").resolve(), _hub_cache(), *(Path(name).expanduser().resolve() for name in named if name)]


@dataclass(frozen=True, slots=True)
class Openable:
    """The models that can be offered without a download, and the folders that cannot, each with the reason."""

    models: list[str]
    refused: dict[str, str]


def openable() -> Openable:
    """Embedded models, and checkpoints in the allowed folders. A folder that cannot be read hurts no other."""
    models, refused = [*EMBEDDED], {}
    for root in allowed_folders():
        if root == _hub_cache():
            models += [_hub_id(folder) for folder in _children(root, "models--*--*") if _is_cached(folder)]
            continue
        for folder in (root, *_children(root, "*")):
            reason = _reason(folder)
            if reason is None:
                models.append(str(folder))
            elif reason:
                refused[str(folder)] = reason
    return Openable(models, refused)


def _children(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _reason(folder: Path) -> str | None:
    """The reason why a folder cannot be opened as a model, None if it can; an empty text if nothing suggests a
    model.
    """
    try:
        if not folder.is_dir() or not (os.path.lexists(folder / "config.json") or name_folder(folder)):
            return ""
        return _looked_up(folder, _state(folder))
    except OSError as error:
        return f"{folder} cannot be read ({error.strerror})."


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Size and time of everything that decides whether a folder is a checkpoint: the folder, because files come and go,
    and its JSON.
    """
    found = [(path.name, path.stat()) for path in (folder, *sorted(folder.glob("*.json")))]
    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in found)


@lru_cache(1024)
def _looked_up(folder: Path, _state: tuple[tuple[str, int, int], ...]) -> str | None:
    """The reason as in `_reason`, cached until a file changes, because pages ask whenever they are drawn."""
    try:
        CheckpointFolder(folder)
    except FastGLMError as error:
        return str(error)
    except Exception as error:  # a page lists it in any case
        return f"{folder} cannot be read ({type(error).__name__})."
    return None


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).resolve()


def _hub_id(folder: Path) -> str:
    return "/".join(folder.name.split("--")[1:3])


def _is_cached(folder: Path) -> bool:
    return any(_reason(snapshot) is None for snapshot in _children(folder, "snapshots/*"))
