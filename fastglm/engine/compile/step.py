"""The decode step as machine code for this CPU: made once by PyTorch's compiler, stored, and loaded in a moment.

The compiler runs in a separate process (`fastglm.engine.compile.worker`), because its modules alone take some hundred
megabytes. It gets only the shapes of the weights, which are inputs of the step, so that only the model holds them.
"""

import contextlib
import hashlib
import io
import pickle
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import DeviceError
from ...progress.progress import COMPILING, OnProgress, Progress
from ...system.devices import instruction_set
from ...system.files import put
from ...system.home import folder
from ...system.making import made_once, part_of
from ...system.watched import watched
from ..decode_step import DecodeStep
from ..types import Decoder
from .worker import REQUEST, BuildRequest, Form

BUILD = [sys.executable, "-m", "fastglm.engine.compile.worker"]


class CompiledStep:
    """A `DecodeStep` compiled for one token at a time, for several, or for one token each of several rows."""

    def __init__(self, library: Path, tensors: list[Tensor], decoder: Decoder) -> None:
        """Load a library.

        Args:
            tensors: those of the step, in the order of `structure_of`.

        Raises:
            DeviceError: the library cannot be loaded.
        """
        self.decoder, self._made_of = decoder, decoder.identity
        self._tensors = tensors
        try:
            self._runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1)
        except (RuntimeError, AttributeError) as error:
            raise DeviceError(str(error).partition("\n")[0]) from error

    @property
    def is_current(self) -> bool:
        """Tell whether the model has its weights where they were."""
        return self.decoder.identity == self._made_of

    def __call__(self, ids: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Run like `DecodeStep.forward`; ids: [1, 1], [1, 2 to `MOST_TOKENS`] or [2 to `MOST_ROWS`, 1]."""
        logits, best = self._runner.run([*self._tensors, ids, *inputs])
        return logits, best


def compiled_step(step: DecodeStep, example: list[Tensor], threads: int, on_build: Callable[[], None]) -> CompiledStep:
    """The compiled step, from `FASTGLM_HOME/steps` if it is stored there.

    Args:
        example: inputs of one step, with different window and capacity.
        threads: number of threads that share the work of the compiled parts.
        on_build: called before compiling, which takes half a minute or more.

    Raises:
        DeviceError: it cannot be compiled here; the message gives the reason.
    """
    structure, tensors = structure_of(step)
    request = BuildRequest(structure, [Form.of(x) for x in tensors], [Form.of(x) for x in example], threads)
    library = folder("steps") / f"{_key(request)}.so"

    found: list[CompiledStep] = []

    def usable() -> bool:
        with contextlib.suppress(DeviceError):
            found[:] = [CompiledStep(library, tensors, step.decoder)] if library.is_file() else []
        return bool(found)

    def make(tell: OnProgress) -> None:
        tell(Progress(COMPILING, 0, 0))
        _build(request, library)

    made_once(library, usable, make, lambda _: on_build())
    return found[0] if found else CompiledStep(library, tensors, step.decoder)


def structure_of(step: DecodeStep) -> tuple[bytes, list[Tensor]]:
    """A step pickled without its tensors, and the tensors in the order of their numbers in the pickle."""
    tensors: list[Tensor] = []
    numbers: dict[int, int] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> int | None:
            if not isinstance(obj, Tensor):
                return None
            if id(obj) not in numbers:
                numbers[id(obj)] = len(tensors)
                tensors.append(obj.detach())
            return numbers[id(obj)]

    file = io.BytesIO()
    pickler = Pickler(file)
    pickler.fast = True  # without a memo of earlier objects, so that equal steps have equal pickles
    pickler.dump(step)
    return file.getvalue(), tensors


def _key(request: BuildRequest) -> str:
    """A key of everything that the compiled step depends on, including this package's code."""
    package = Path(__file__).parents[2]
    sources = [
        p.read_bytes() for part in ("engine", "kernels", "models") for p in sorted((package / part).rglob("*.py"))
    ]
    machine = (
        torch.__version__,
        platform.system(),
        platform.machine(),
        instruction_set(),
        torch.backends.cpu.get_cpu_capability(),
    )
    return hashlib.sha256(repr((request, machine, sources)).encode()).hexdigest()[:32]


def _build(request: BuildRequest, library: Path) -> None:
    """Compile in another process, which ends with all its children when this process stops waiting for it, or ends."""
    with part_of(library) as part, _plainly_named(part) as work:
        made = work / library.name
        with (work / REQUEST).open("wb") as file:
            pickle.dump(request, file)
        with watched(work, [*BUILD, str(made)]) as process:
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace").strip().splitlines()
        if not made.is_file():
            raise DeviceError(said[-1].strip() if said else "the compiler was stopped")
        put(Path(shutil.move(made, part)) if work != part else made, library)


@contextlib.contextmanager
def _plainly_named(folder: Path) -> Iterator[Path]:
    """A folder to compile in: PyTorch's compiler writes paths into commands, which quotes and the like would break."""
    if re.fullmatch(r"[\w./+-]+", str(folder), re.ASCII):
        yield folder
    else:
        with tempfile.TemporaryDirectory() as other:
            yield Path(other)
