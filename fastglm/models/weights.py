"""Weight files, read tensor by tensor: safetensors, and files of `torch.save`."""

import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import CheckpointError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_tensors(shard: Path, names: Collection[str] | None = None) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a file, or those of `names`, on the CPU, mapped from the file if possible.

    Raises:
        CheckpointError: the file is truncated or corrupt, or contains something else.
    """
    return (_read_safetensors if shard.suffix == ".safetensors" else _read_bin)(shard, names)


def is_kind(tensor: Tensor, wanted: Tensor) -> bool:
    """Tell whether a tensor may be stored for one like `wanted`: any usual dtype in place of floating point."""
    return tensor.dtype in _FLOATS if wanted.is_floating_point() else tensor.dtype == wanted.dtype


def is_finite(tensor: Tensor) -> bool:
    """Tell whether all numbers are finite: neither NaN, which the maximum would be, nor infinite."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(end.isfinite()) for end in tensor.aminmax())


def _corrupt(shard: Path, error: Exception) -> CheckpointError:
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    if said.startswith("Weights only load failed"):  # more follows, about an option that the user does not have
        said = "no table of weights"
    return CheckpointError(f"{shard} is truncated or corrupt ({said}): fetch it again.")


def _read_safetensors(shard: Path, names: Collection[str] | None) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # not a dict
                if names is None or name in names:
                    yield name, file.get_tensor(name)
    except (SafetensorError, OSError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise _corrupt(shard, error) from error


def _read_bin(shard: Path, names: Collection[str] | None) -> Iterator[tuple[str, Tensor]]:
    state = _load(shard)
    if not isinstance(state, dict):
        raise CheckpointError(f"{shard} holds no table of weights: save the model's state_dict() in it.")
    while state:
        name = next(iter(state))
        tensor = state.pop(name)
        if type(tensor) not in (Tensor, nn.Parameter):
            raise CheckpointError(
                f"{shard} holds {str(name)[:80]!r}, which is not a tensor: save the model's state_dict()."
            )
        if not isinstance(name, str):
            raise CheckpointError(f"{shard} names a tensor {str(name)[:80]}, which is not a word: fetch it again.")
        if not _is_plain(tensor):
            raise CheckpointError(f"{shard} holds fewer numbers for {name} than its shape says: fetch it again.")
        if names is None or name in names:
            yield name, tensor.detach()


def _load(shard: Path) -> object:
    try:
        _check_stored(shard)
        try:
            return torch.load(shard, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            return torch.load(shard, map_location="cpu", weights_only=True)  # the format before torch 1.6
    except Exception as error:  # a pickle of anything may raise anything
        if any(sign in str(error) for sign in ("Unsupported global", "Unsupported class", "GLOBAL ")):
            raise CheckpointError(
                f"{shard} holds more than weights, such as a whole model, which is not run: "
                "save the model's state_dict() in it."
            ) from error
        raise _corrupt(shard, error) from error


def _check_stored(shard: Path) -> None:
    """Raise ValueError for an archive of compressed files, which torch does not write and which may expand to any
    size.
    """
    if zipfile.is_zipfile(shard):
        with zipfile.ZipFile(shard) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("an archive of compressed files")


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether every number of a tensor is stored; a tensor may otherwise repeat one number any number of times."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.untyped_storage().nbytes() >= tensor.nbytes
