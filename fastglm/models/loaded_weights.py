"""Checks after transformers has read a checkpoint, which only logs what did not fit."""

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from .base import ModelConfig
from .checkpoint import SCALE, no_place, other_shape
from .folder import listed


def check_loaded(config: ModelConfig, info: Mapping[str, Any], keep_sizes: bool) -> None:
    """Raise CheckpointError for weights that are missing or of another shape, in whose place are random numbers, and
    for weights of a layer that the config has no place for.

    The weights of a learned prefix may follow later, as the published README shows.

    Args:
        info: the loading info of transformers.
        keep_sizes: weights of another shape are refused.
    """
    names = config.architecture.tensors
    strange = sorted(name for name in info["unexpected_keys"] if name.startswith(f"{names.layers}."))
    if strange and getattr(config, "quantization_config", None) is None:  # another program's formats have more tensors
        raise no_place(strange[0])
    if keep_sizes and info["mismatched_keys"]:
        raise other_shape(*min(info["mismatched_keys"]))
    later = names.prefix.rpartition(".")[2]
    if missing := [name for name in info["missing_keys"] if later not in name.split(".")]:
        if all(name.endswith(SCALE) for name in missing):
            raise CheckpointError(
                f"The checkpoint lacks {listed(missing)}: config.json says that the weights are quantised, and they "
                "are not; set quantization_bit to 0, or fetch both again."
            )
        raise CheckpointError(f"The checkpoint lacks {listed(missing)}: a shard is missing; fetch it again.")
