"""Checkpoints from a hub: first its list of files, then the config, and the weights only if all is well."""

import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import CheckpointError, DiskShortError, UsageError
from ..system.files import DOWNLOAD_LIMIT, VISITORS_LIMIT, in_words
from .architecture import architectures
from .checkpoint import Checkpoint
from .folder import facts_of, read_fields

_CONFIG = "config.json"
_LARGEST_CONFIG = 1 << 20  # bytes
_ROOM = 1.02  # bytes of the disk for each downloaded byte
# Files of a checkpoint, as patterns of names: tables and vocabularies, and weights in one of two forms.
_TABLES = (
    *(f"{name}config.json" for name in ("", "generation_", "tokenizer_")),
    *("special_tokens_map.json", "added_tokens.json", "tokenizer.json", "chat_template.jinja", "fastglm.json"),
    "tokenization_chatglm.py",  # read as text: it may tell the generation
    *(name for known in architectures() for name in known.tokenizer_files if name.endswith(".model")),
    "tokenizer.model",
)
_VOCABULARIES = ("tokenizer.json", *(name for name in _TABLES if name.endswith(".model")))
_WEIGHTS = tuple(
    (f"{stem}.{kind}", f"{stem}-[0-9]*.{kind}", f"{stem}.{kind}.index.json")
    for stem, kind in (("model", "safetensors"), ("pytorch_model", "bin"))
)
# The organization moved; a hub or a mirror may know either name.
_HOMES = {"THUDM": "zai-org", "zai-org": "THUDM"}


Check = Callable[[Path], None]


def download(model: str, restricted: bool = False, check: Check | None = None) -> Path:
    """Download a hub's checkpoint from the Hugging Face hub (or the mirror in HF_ENDPOINT), or ModelScope; return its
    folder.

    Args:
        restricted: for a visitor of the app, who may have at most `VISITORS_LIMIT` GB.
        check: called with a folder that has the config, before weights are downloaded; it may raise an error.

    Raises:
        CheckpointError: the hub does not have it or cannot be reached, or it cannot be a readable checkpoint.
        DiskShortError, UsageError: it is too large for the disk, or for a visitor; found before its weights are
        downloaded.
    """
    if model.startswith("modelscope:"):
        return _from_modelscope(model.removeprefix("modelscope:"), _most(restricted), check)
    owner, name = model.split("/")
    ids = [model, *([f"{_HOMES[owner]}/{name}"] if owner in _HOMES else [])]
    for repo in ids:
        if kept := _kept(repo):
            if check:
                check(kept)
            return kept
    return _from_hub(model, ids, _most(restricted), check)


def _most(restricted: bool) -> float:
    """Bytes that may be downloaded."""
    told = os.environ.get(DOWNLOAD_LIMIT)
    if not told:
        return VISITORS_LIMIT * 1e9 if restricted else float("inf")
    try:
        return float(told) * 1e9
    except ValueError as error:
        raise UsageError(f"{DOWNLOAD_LIMIT} must be a number of GB (got {told[:40]!r}).") from error


def _kept(repo: str) -> Path | None:
    """The folder of an earlier download, if it is complete."""
    from huggingface_hub import snapshot_download

    for weights in _WEIGHTS:
        try:
            folder = Path(snapshot_download(repo, local_files_only=True, allow_patterns=[*_TABLES, *weights]))
            Checkpoint(folder)
        except (OSError, ValueError, CheckpointError):
            continue
        if any((folder / name).exists() for name in _VOCABULARIES):
            return folder
    return None


def _check_config(folder: Path, check: Check | None) -> None:
    """Raise an error for a config that cannot be used, or not by the caller."""
    facts_of(read_fields(folder))
    if check:
        check(folder)


def _from_hub(model: str, ids: list[str], most: float, check: Check | None) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import RepositoryNotFoundError

    for repo in ids:
        try:
            told = HfApi().model_info(repo, files_metadata=True)
            sizes = _chosen(repo, {file.rfilename: file.size or 0 for file in told.siblings or []})
            _check_config(Path(hf_hub_download(repo, _CONFIG, revision=told.sha)).parent, check)
            here = {name for name in sizes if isinstance(try_to_load_from_cache(repo, name, revision=told.sha), str)}
            _check_size(repo, sum(sizes.values()), sum(sizes[name] for name in sizes.keys() - here), HF_HUB_CACHE, most)
            snapshot_download(repo, allow_patterns=[name for name in sizes if name in _TABLES])
            return Path(snapshot_download(repo, allow_patterns=list(sizes)))  # last: complete weights end the download
        except RepositoryNotFoundError:
            continue
        except (CheckpointError, DiskShortError, UsageError):
            raise
        except Exception as error:  # the hub's client raises errors of several libraries
            raise CheckpointError(
                f"{model} is not on this machine and the hub cannot be reached: check the network, set "
                "HF_ENDPOINT to a mirror, or download the folder by other means and name it."
            ) from error
    raise CheckpointError(
        f"The hub has no {' or '.join(ids)}, or it needs a login (huggingface-cli login): check the id."
    )


def _from_modelscope(model: str, most: float, check: Check | None) -> Path:
    try:
        from modelscope import snapshot_download
        from modelscope.hub.api import HubApi
        from modelscope.utils.file_utils import get_modelscope_cache_dir
    except ImportError as error:
        raise UsageError("modelscope: models need its package: pip install 'fastglm[modelscope]'.") from error
    try:
        files = HubApi().get_model_files(model, recursive=True)
        sizes = _chosen(model, {file["Path"]: file["Size"] or 0 for file in files if file["Type"] != "tree"})
        _check_config(Path(snapshot_download(model, allow_file_pattern=[_CONFIG])), check)
        whole = sum(sizes.values())
        _check_size(model, whole, whole, get_modelscope_cache_dir(), most)
        return Path(snapshot_download(model, allow_file_pattern=list(sizes)))
    except (CheckpointError, DiskShortError, UsageError):
        raise
    except Exception as error:  # its own errors have no common base
        raise CheckpointError(f"ModelScope did not give {model} ({error}): check the id and the network.") from error


def _chosen(repo: str, sizes: dict[str, int]) -> dict[str, int]:
    """The files of a hub that a checkpoint needs, with their bytes; weights in one form only."""
    if not 0 < sizes.get(_CONFIG, 0) <= _LARGEST_CONFIG:
        raise CheckpointError(f"{repo} has no config.json that could be read: name the hub id of a checkpoint.")
    for patterns in _WEIGHTS:
        weights = {name: size for name, size in sizes.items() if any(fnmatchcase(name, each) for each in patterns)}
        if any(not name.endswith(".json") for name in weights):
            return {name: size for name, size in sizes.items() if name in _TABLES} | weights
    raise CheckpointError(f"{repo} has no weights that could be read: name the hub id of a checkpoint.")


def _check_size(repo: str, whole: int, missing: int, cache: str | Path, most: float) -> None:
    if whole > most:
        raise UsageError(
            f"{repo} has {in_words(whole)}, at most {in_words(most)} are downloaded here: "
            "whoever runs this machine can download it by other means."
        )
    place = Path(cache).absolute()
    free = shutil.disk_usage(next(parent for parent in (place, *place.parents) if parent.is_dir())).free
    if missing * _ROOM > free:
        raise DiskShortError(
            f"{repo} needs {in_words(missing * _ROOM)}, {in_words(free)} are free where {place} lies: "
            "make room there, or set HF_HOME to another disk."
        )
