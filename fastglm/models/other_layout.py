"""Names and parts of an architecture's tensors in another program's layout."""

from dataclasses import fields

from torch import Tensor

from .architecture import OtherLayout, TensorNames
from .base import ModelConfig


def stored_parts(name: str, tensor: Tensor, config: ModelConfig, layout: OtherLayout) -> dict[str, Tensor]:
    """The tensors, by their names in a layout, that the architecture has as one, in the order of its rows."""
    layer, inside = config.architecture.tensors.split(name)
    module, _, end = inside.rpartition(".")
    role = role_of(module, config.architecture.tensors)
    prefix = "" if layer is None else layout.tensors.layer(layer)
    names = [f"{prefix}{each}.{end}" for each in modules(layout.tensors, role)]
    if len(names) == 1:
        return {names[0]: tensor}
    assert layer is not None
    return dict(zip(names, tensor.split([*layout.parts(config, layer)]), strict=True))


def role_of(module: str, names: TensorNames) -> str:
    """The field of `TensorNames` that lists a module."""
    return next(field.name for field in fields(names) if module in modules(names, field.name))


def modules(names: TensorNames, role: str) -> tuple[str, ...]:
    """The modules of a role."""
    found: str | tuple[str, ...] = getattr(names, role)
    return (found,) if isinstance(found, str) else found
