"""The compiler of a decode step: `python -m fastglm.engine.compile.worker LIBRARY`, with a pickled `BuildRequest`
beside the library's place.

PyTorch exports the step and compiles it ahead of time (AOTInductor) into one shared library.
"""

import io
import os
import pickle
import shutil
import sys
import traceback
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ...kernels.cpu import library

# The input of a step whose size is that of the window; and the dimension of each buffer after it that is the capacity.
_COLUMNS, _CAPACITY = 4, 2
REQUEST = "request.pickle"
MOST_TOKENS = 9  # largest number of tokens of a step for several
MOST_ROWS = 16  # largest number of rows of a step for several


@dataclass(frozen=True, slots=True)
class Form:
    """Everything about a tensor except its numbers."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "Form":
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def empty(self) -> Tensor:
        """A tensor of this form, whose memory is never touched and so never allocated."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A step by `structure_of`, the forms of its tensors and inputs, and its number of threads.

    If the example has several tokens, the step takes 2 to `MOST_TOKENS` of them; if several rows, 2 to `MOST_ROWS`.
    """

    structure: bytes
    tensors: list[Form]
    inputs: list[Form]
    threads: int


class Loose(nn.Module):
    """A pickled step whose tensors are inputs."""

    def __init__(self, request: BuildRequest) -> None:
        super().__init__()
        self.structure, self.count = request.structure, len(request.tensors)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Run the step; inputs: its tensors, then the inputs of `DecodeStep.forward`."""

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, number: int) -> Tensor:
                return inputs[number]

        return Unpickler(io.BytesIO(self.structure)).load()(*inputs[self.count :])


def build(request: BuildRequest, work: Path) -> Path:
    """Compile a step into a library in the folder `work`."""
    os.environ |= {"TORCHINDUCTOR_CACHE_DIR": str(work), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    import torch._inductor.config

    torch.set_num_threads(request.threads)
    torch._inductor.config.cpp.threads = request.threads
    inputs = [form.empty() for form in (*request.tensors, *request.inputs)]
    sizes = [None] * len(request.tensors) + _changing(request.inputs)
    shims = library.c_shims() if library.ready() else {}
    with torch.no_grad():
        program = torch.export.export(Loose(request), tuple(inputs), dynamic_shapes=(tuple(sizes),), strict=False)
    package = torch._inductor.aoti_compile_and_package(
        program,
        package_path=str(work / "step.pt2"),
        # Precompiled headers pay only from the second step on.
        inductor_configs={"aot_inductor.precompile_headers": False, "aot_inductor.custom_ops_to_c_shims": shims},
    )
    made = work / "step.so"
    with zipfile.ZipFile(package) as files:
        (compiled,) = (name for name in files.namelist() if name.endswith(".so"))
        with files.open(compiled) as source, made.open("wb") as target:
            shutil.copyfileobj(source, target)
    return made


def _changing(inputs: list[Form]) -> list[Any]:
    """The changing sizes of each input of a step, by dimension."""
    rows, tokens = inputs[0].shape
    several = {0: Dim("rows", min=2, max=MOST_ROWS)} if rows > 1 else {}
    ids = several | ({1: Dim("tokens", min=2, max=MOST_TOKENS)} if tokens > 1 else {})
    buffer = several | {_CAPACITY: Dim.DYNAMIC}
    window = {0: Dim.DYNAMIC}
    return [ids, *[several] * (_COLUMNS - 1), window, *[buffer] * (len(inputs) - _COLUMNS - 1)]


def main() -> None:
    # The pickled classes must belong to this module, not to `__main__`.
    from fastglm.engine.compile import worker as this

    target = Path(sys.argv[1])
    with target.with_name(REQUEST).open("rb") as file:
        request = pickle.load(file)
    try:
        this.build(request, target.parent).replace(target)
    except Exception as error:
        traceback.print_exc()
        sys.exit(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")


if __name__ == "__main__":
    main()
