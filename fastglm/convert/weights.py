"""Weights of a checkpoint in floating point, by their roles, a layer at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..models.checkpoint import Checkpoint
from ..progress.progress import OnProgress, Progress

_OUTSIDE = ("embedding", "final_norm", "head")
_MATRICES = ("attention_in", "attention_out", "mlp_in", "mlp_out")
_INSIDE = ("attention_norm", *_MATRICES[:2], "attention_out_norm", "mlp_norm", *_MATRICES[2:], "mlp_out_norm")
_STAGE = "convert"


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of a checkpoint. `role` is a field of `TensorNames`, `layer` None outside of layers."""

    layer: int | None
    role: str
    end: str  # weight or bias
    shape: tuple[int, ...]
    module: str  # its name in the checkpoint, without the end


def list_weights(checkpoint: Checkpoint) -> list[Weight]:
    """The weights of a checkpoint in the order of their use, a shared head left out."""
    names, stored = checkpoint.names, checkpoint.places
    found: list[tuple[int | None, str, str]] = [(None, role, getattr(names, role)) for role in _OUTSIDE]
    if checkpoint.config.tie_word_embeddings:
        found.pop()
    for layer in range(checkpoint.config.layers):
        for role in _INSIDE:
            module = getattr(names, role)
            found.append((layer, role, names.layer(layer) + (module if isinstance(module, str) else module[0])))
    return [
        Weight(layer, role, end, _shape(checkpoint, layer, role, end), module)
        for layer, role, module in found
        for end in ("weight", "bias")
        if f"{module}.{end}" in stored
    ]


def read_weights(checkpoint: Checkpoint, progress: OnProgress | None) -> Iterator[tuple[Weight, Tensor]]:
    """Yield the weights of `list_weights`, packed ones in the dtype of their scales; memory holds one at a time.

    Raises CheckpointError as `Checkpoint` does.
    """
    form = checkpoint.config.linear_format()
    done = 0
    for weight in list_weights(checkpoint):
        names = {f"{weight.module}.{weight.end}"}
        if weight.end == "weight":
            names |= {f"{weight.module}.weight_scale"} & checkpoint.places.keys()
        parts = {name.removeprefix(f"{weight.module}."): tensor for name, tensor in checkpoint.named(names).items()}
        done += sum(part.nbytes for part in parts.values())
        if len(parts) > 1:
            assert form is not None
            yield weight, form.unpack(parts, weight.shape[1]).to(parts["weight_scale"].dtype)
        else:
            yield weight, parts[weight.end]
        if progress:
            progress(Progress(_STAGE, done, checkpoint.size, "B"))


def _shape(checkpoint: Checkpoint, layer: int | None, role: str, end: str) -> tuple[int, ...]:
    config = checkpoint.config
    if layer is None:
        return (config.hidden,) if role == "final_norm" else (config.vocab_size, config.hidden)
    shapes = dict(zip(_MATRICES, config.matrices(layer), strict=True))
    rows, *columns = shapes.get(role, (config.hidden,))
    return (rows, *columns) if end == "weight" else (rows,)
