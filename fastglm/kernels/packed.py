"""Modules with packed weights: a linear map, an embedding, and a head that shares the embedding's matrix.

They hold the portable tensors under the names on disk (`weight`, `weight_scale`, …) until their first use, then the
layout of their device's kernel; moving or saving them first restores the portable tensors.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from . import huge_pages
from .epilogue import NOTHING, Epilogue
from .format import Parts, WeightFormat
from .kernel import Kernel
from .reference import ReferenceKernel
from .select import kernel_for


class PackedWeight(nn.Module):
    """A packed matrix [rows, columns].

    If `exact`, activations are multiplied without rounding: by the reference kernel if the device's fast kernel rounds
    them. It is off in variants that an engine of this package runs.
    """

    def __init__(self, format: WeightFormat, rows: int, columns: int) -> None:
        super().__init__()
        self.format, self.rows, self.columns = format, rows, columns
        self._exact = True
        self._kernel: Kernel | None = None
        self._held: tuple[Tensor, ...] = ()
        for name, (shape, dtype) in format.spec(rows, columns).items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))

    @property
    def exact(self) -> bool:
        """Tell whether activations are multiplied without rounding."""
        return self._exact

    @exact.setter
    def exact(self, exact: bool) -> None:
        if isinstance(self._kernel, ReferenceKernel) and not exact:
            self.set_parts(self.parts())  # the next product chooses the fast kernel
        self._exact = exact

    def parts(self) -> Parts:
        """The packed weights in the portable layout."""
        if self._kernel is not None and self._buffers["weight"] is None:
            return self._kernel.restore(self._held, self.rows, self.columns)
        return {name: self.get_buffer(name) for name in self.format.spec(self.rows, self.columns)}

    def set_parts(self, parts: Parts) -> None:
        """Set packed weights in the portable layout."""
        self._kernel, self._held = None, ()
        for name in self.format.spec(self.rows, self.columns):
            self.register_buffer(name, parts[name])

    def prepare(self, dtype: torch.dtype) -> Kernel:
        """Convert the weights once into the layout of the kernel for activations of `dtype`."""
        if self._kernel is None:
            parts = self.parts()
            fast = kernel_for(self.format, parts["weight"].device, dtype)
            kernel = ReferenceKernel(self.format) if fast is None or (self.exact and fast.rounds) else fast
            self._held = kernel.prepare(parts, self.rows, self.columns)
            self._kernel = kernel
            if not self._keeps_portable(kernel):
                for name in parts:
                    self.register_buffer(name, None)
        return self._kernel

    def use_huge_pages(self) -> None:
        """Move the weights into huge pages, in whatever layout they are held."""
        kept = [name for name, part in self._buffers.items() if part is not None]
        tensors = {id(tensor): tensor for tensor in (*self._held, *(self.get_buffer(name) for name in kept))}
        places = {key: huge_pages.moved(tensor) for key, tensor in tensors.items()}
        for name in kept:
            self._buffers[name] = places[id(self._buffers[name])]
        self._held = tuple(places[id(tensor)] for tensor in self._held)

    def _keeps_portable(self, kernel: Kernel) -> bool:
        """Tell whether the kernel's layout does not serve every use of this matrix."""
        return False

    def _reference(self) -> tuple[Kernel, tuple[Tensor, ...]]:
        """The reference kernel and its tensors, converted again if the held layout differs."""
        kernel = ReferenceKernel(self.format)
        return kernel, kernel.prepare(self.parts(), self.rows, self.columns)

    def _multiplying(self, dtype: torch.dtype) -> tuple[Kernel, tuple[Tensor, ...]]:
        """The kernel for activations of `dtype`, and its tensors."""
        kernel = self.prepare(dtype)
        return self._reference() if self.exact and kernel.rounds else (kernel, self._held)

    def multiply(self, x: Tensor) -> Tensor:
        """Multiply x, [..., columns] → [..., rows], in the dtype of x or a narrower one."""
        kernel, held = self._multiplying(x.dtype)
        return kernel.multiply(x.flatten(0, -2), held, self.rows, self.columns).unflatten(0, x.shape[:-1])

    def fused(self, x: Tensor, after: Epilogue) -> Tensor:
        """Multiply x, and apply the epilogue: [..., columns] → [..., rows], in the dtype of x."""
        (kernel, held), residual = self._multiplying(x.dtype), after.residual
        if residual is not None:
            after = replace(after, residual=residual.flatten(0, -2))
        return kernel.fused(x.flatten(0, -2), held, self.rows, self.columns, after).unflatten(0, x.shape[:-1])

    def memory(self) -> int:
        """Number of bytes held, in either layout."""
        tensors = (*self._held, *self.buffers(recurse=False), *self.parameters(recurse=False))
        return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PackedWeight":
        before = self.parts()
        self.set_parts(before)
        super()._apply(fn, recurse)
        for name, part in before.items():
            moved = self.get_buffer(name)
            if moved.dtype != part.dtype:  # `.half()` and the like affect activations, not packed numbers
                self.register_buffer(name, part.to(moved.device))
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({prefix + name: part for name, part in self.parts().items()})


class QuantizedLinear(PackedWeight):
    """`nn.Linear` on packed weights."""

    def __init__(self, format: WeightFormat, columns: int, rows: int, bias: bool) -> None:
        super().__init__(format, rows, columns)
        self.bias = nn.Parameter(torch.zeros(rows)) if bias else None

    def forward(self, x: Tensor, after: Epilogue = NOTHING) -> Tensor:
        """Apply to x, [..., columns] → [..., rows], with the map's own bias and then the epilogue."""
        return self.fused(x, replace(after, bias=self.bias))

    def extra_repr(self) -> str:
        return f"{self.columns} → {self.rows}, {self.format.name}"


class QuantizedEmbedding(PackedWeight):
    """`nn.Embedding` on packed weights, which `SharedHead` may multiply by too."""

    def __init__(self, format: WeightFormat, rows: int, columns: int) -> None:
        super().__init__(format, rows, columns)
        # Follows `.half()` and the like, and so gives the dtype of the output.
        self.register_buffer("like", torch.empty(0), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids, [...] → [..., columns]."""
        like = self.get_buffer("like")
        kernel, held = self.prepare(like.dtype), self._held
        if self._keeps_portable(kernel):
            kernel, held = self._reference()
        return kernel.gather(ids.flatten(), held, self.rows, self.columns).unflatten(0, ids.shape).to(like.dtype)

    def _keeps_portable(self, kernel: Kernel) -> bool:
        return not kernel.gathers

    def extra_repr(self) -> str:
        return f"{self.rows} × {self.columns}, {self.format.name}"


class SharedHead(nn.Module):
    """The head of a model whose embedding and head are one packed matrix."""

    def __init__(self, embedding: QuantizedEmbedding) -> None:
        super().__init__()
        self._embedding = (embedding,)  # in a tuple, so that the module is not registered and saved a second time

    @property
    def embedding(self) -> QuantizedEmbedding:
        """The shared matrix."""
        return self._embedding[0]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of x, [..., hidden] → [..., vocabulary]."""
        return self.embedding.multiply(x).to(x.dtype)


def apply(linear: nn.Module, x: Tensor, after: Epilogue) -> Tensor:
    """Apply a linear map and its epilogue, in one kernel if the map's weights are packed. The epilogue has no bias."""
    return linear(x, after) if isinstance(linear, QuantizedLinear) else after.apply(linear(x), x.dtype)


def make_linear(format: WeightFormat | None, columns: int, rows: int, bias: bool = True) -> nn.Module:
    """A linear map with weights in a format, or as plain tensors without a format."""
    return QuantizedLinear(format, columns, rows, bias) if format else nn.Linear(columns, rows, bias)
