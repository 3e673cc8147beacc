"""Writing of checkpoint folders from other checkpoints: tensor by tensor; a folder appears only when it is complete."""

import errno
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError, DiskShortError, UsageError
from ..models.architecture import recognize
from ..models.base import ModelConfig
from ..models.checkpoint import Checkpoint
from ..models.folder import read_fields
from ..models.tokenizer_files import read_tokenizer
from ..models.weights import is_finite
from ..progress.progress import OnProgress, Progress
from ..system.files import in_words, put, read_json
from ..system.home import make_parents
from ..system.making import part_of

SHARD_BYTES = 1 << 30  # bytes of tensors that are collected before they are written as a shard
INDEX = "model.safetensors.index.json"
_SLACK = 1.02  # bytes of config, tokenizer and headers, beside the weights


def open_plain(source: Path, out: Path) -> Checkpoint:
    """Open the checkpoint that `out` will be made from; its config tells whether head and embedding are one matrix.

    Raises:
        UsageError: `out` exists, or the checkpoint is quantized.
        CheckpointError: the checkpoint cannot be read.
    """
    if out.exists():
        raise UsageError(f"{out} exists already: name a folder that does not.")
    checkpoint = Checkpoint(source)
    if checkpoint.config.is_quantized:
        raise UsageError(f"{source} is quantised already: run it as it is, or name the checkpoint it was made from.")
    read_tokenizer(source)
    checkpoint.settle_head()
    return checkpoint


def stored_tensors(checkpoint: Checkpoint, stage: str, progress: OnProgress | None) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an opened checkpoint that a copy contains: no rotary tables, and a shared head only once."""
    done = 0
    for name, tensor in checkpoint.tensors():
        done += tensor.nbytes
        if not (name == checkpoint.names.ends[1] and checkpoint.config.tie_word_embeddings):
            yield name, tensor
        if progress:
            progress(Progress(stage, done, checkpoint.size, "B"))


def check_room(out: Path, needed: int) -> None:
    """Raise DiskShortError if `needed` bytes of weights do not fit on the disk of `out`."""
    free = shutil.disk_usage(next(parent for parent in out.absolute().parents if parent.is_dir())).free
    if needed * _SLACK > free:
        raise DiskShortError(
            f"{out} needs {in_words(needed * _SLACK)}, {in_words(free)} are free on its disk: make room there."
        )


@contextmanager
def new_path(out: Path, needed: int) -> Iterator[Path]:
    """A path to make a file or a folder at; it becomes `out` in one move at the end of the block, and is removed after
    an error.

    Args:
        needed: bytes of the weights to be written.

    Raises:
        DiskShortError: the disk has no space for them.
    """
    check_room(out, needed)
    try:
        make_parents(out)
        with part_of(out) as part:
            made = part / out.name
            yield made
            if out.exists():  # a file would be replaced
                raise FileExistsError(out)
            put(made, out)
    except (OSError, SafetensorError) as error:
        if out.exists():
            raise UsageError(f"{out} exists already: another process has made it meanwhile.") from error
        if _is_full(error):
            raise DiskShortError(f"{out} could not be written, as its disk is full: make room there.") from error
        raise


@contextmanager
def new_folder(out: Path, needed: int) -> Iterator[Path]:
    """A folder to write into, made as by `new_path`."""
    with new_path(out, needed) as made:
        made.mkdir()
        yield made


def _is_full(error: Exception) -> bool:
    """Tell whether writing failed because the disk is full; safetensors says so in words only."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error)


def is_whole(folder: Path, source: Path) -> bool:
    """Tell whether a folder that was made from a checkpoint has all its files, each with its full length."""
    try:
        shards = {name: _names_in(folder / name) for name in {shard.name for shard in Checkpoint(folder).shards}}
        places = read_json(folder / INDEX)["weight_map"]
        wanted = Checkpoint(folder).config.architecture.tokenizer_files
        missing = [name for name in wanted if (source / name).is_file() and not (folder / name).is_file()]
        return not missing and all(name in shards[place] for name, place in places.items())
    except (CheckpointError, SafetensorError, OSError, KeyError, AttributeError):
        return False


def _names_in(shard: Path) -> set[str]:
    """Names of the tensors in a file; checks the file's length."""
    with safe_open(shard, framework="pt") as file:
        return set(file.keys())


def write_checkpoint(folder: Path, config: ModelConfig, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write config and weights for transformers."""
    write_shards(folder, tensors)
    config.architectures = [config.architecture.model_class.__name__]
    config.save_pretrained(folder)


def write_shards(folder: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write shards of weights (`model-00001.safetensors` and so on) with an index."""
    shard: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    held = written = 0

    def flush() -> None:
        nonlocal held
        file = f"model-{len(set(places.values())) + 1:05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(shard, file))
        shard.clear()
        held = 0

    for name, tensor in tensors:
        if not is_finite(tensor):
            raise CheckpointError(f"{name} became NaN or infinite: nothing is written.")
        shard[name] = tensor.contiguous()
        held += tensor.nbytes
        written += tensor.nbytes
        if held >= SHARD_BYTES:
            flush()
    if shard:
        flush()
    index = {"metadata": {"total_size": written}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer's files that exist; older releases of transformers store added tokens in separate files."""
    for name in (*recognize(read_fields(source)).tokenizer_files, "added_tokens.json", "special_tokens_map.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
