"""The decode step as machine code for this CPU: made once by PyTorch's compiler, kept, and loaded in a moment.

The compiler runs in a process of its own (`fastglm.engine.build`), as its modules alone take some hundred megabytes. It
is told of the weights only their shapes: they are inputs of the step, so that they are held once, by the model.
"""

import contextlib
import hashlib
import io
import pickle
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DeviceError
from ..hardware import instruction_set
from ..home import folder
from ..models.chatglm import Decoder
from .build import BuildRequest, Form
from .step import Step

BUILD = [sys.executable, "-m", "fastglm.engine.build"]


class CompiledStep:
    """A `Step` compiled for one token at a time, or for several."""

    def __init__(self, library: Path, tensors: list[Tensor], decoder: Decoder) -> None:
        """tensors: those of the step, in the order of `structure_of`."""
        self.decoder = decoder
        self._tensors = tensors
        self._runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1)

    def __call__(self, ids: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """As `Step.forward`; ids: [1, 1], or [1, 2 to `MOST_TOKENS`]."""
        logits, best = self._runner.run([*self._tensors, ids, *inputs])
        return logits, best


def compiled_step(step: Step, example: list[Tensor], threads: int, on_build: Callable[[], None]) -> CompiledStep:
    """The step compiled, from `FASTGLM_HOME/steps` where it is kept.

    Args:
        example: inputs of one step, whose window and capacity differ.
        threads: that the compiled parts share their work between.
        on_build: called before it is compiled, which takes half a minute or more.

    Raises:
        DeviceError: it cannot be compiled here; says why.
    """
    structure, tensors = structure_of(step)
    request = BuildRequest(structure, [Form.of(x) for x in tensors], [Form.of(x) for x in example], threads)
    library = folder("steps") / f"{_key(request)}.so"
    if not library.is_file():
        on_build()
        _build(request, library)
    try:
        return CompiledStep(library, tensors, step.decoder)
    except (RuntimeError, AttributeError) as error:
        library.unlink(missing_ok=True)  # so that the next start makes it anew
        raise DeviceError(str(error).partition("\n")[0]) from error


def structure_of(step: Step) -> tuple[bytes, list[Tensor]]:
    """A step pickled without its tensors, and those tensors in the order of their numbers in the pickle."""
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
    pickler.fast = True  # without memory of what came before, so that equal steps have equal pickles
    pickler.dump(step)
    return file.getvalue(), tensors


def _key(request: BuildRequest) -> str:
    """Changes with everything that the compiled step depends on, this package's code included."""
    package = Path(__file__).parent.parent
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
    """Compiles in another process, which leaves nothing behind when this one stops waiting for it, or ends."""
    with subprocess.Popen(
        [*BUILD, str(library)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with contextlib.suppress(BrokenPipeError):  # it ended early, and said why
            pickle.dump(request, process.stdin)
            process.stdin.flush()
        said = process.stderr.read().decode(errors="replace").strip().splitlines()
    if not library.is_file():
        raise DeviceError(said[-1].strip() if said else "the compiler was stopped")
