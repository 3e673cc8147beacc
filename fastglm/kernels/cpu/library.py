"""The library of C++ kernels: compiled once per version of PyTorch, stored in `FASTGLM_HOME`, and loaded."""

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ...errors import DeviceError
from ...progress.progress import COMPILING, OnProgress, Progress
from ...system.files import put
from ...system.home import folder, home
from ...system.making import made_once, part_of
from ...system.watched import watched

SOURCES = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".cpp", ".h"))
FLAGS = ("-O3", "-mavx2", "-mfma", "-std=c++20", "-shared", "-fPIC", "-fopenmp")
VNNI = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni")

_loaded = False


def compiler() -> str:
    """Find the C++ compiler. Raises DeviceError if there is none."""
    if not has_compiler():
        raise DeviceError(f"there is no C++ compiler here ({_compiler()}); install one and load the model again.")
    return _compiler()


def has_compiler() -> bool:
    """Tell whether there is a C++ compiler."""
    return shutil.which(_compiler()) is not None


@cache
def written_for() -> bool:
    """Tell whether the kernels support this system and processor."""
    here = sys.platform == "linux" and platform.machine() == "x86_64"
    return here and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def flags() -> tuple[str, ...]:
    """The compiler's flags for this processor."""
    return FLAGS + VNNI if has_vnni() else FLAGS


@cache
def has_vnni() -> bool:
    """Tell whether the processor has AVX-512 with VNNI, which adds products of 8-bit numbers in 32 bits."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_vnni_supported()


def possible() -> bool:
    """Tell whether the kernels may be used; FASTGLM_COMPILE=0 switches them off."""
    return written_for() and os.environ.get("FASTGLM_COMPILE") != "0"


def ready() -> bool:
    """Tell whether the operators `torch.ops.fastglm.*` exist; loads them if they have been built."""
    return possible() and (_loaded or (_path().is_file() and _load()))


def build(on_build: Callable[[], None]) -> None:
    """Compile and load the kernels, unless done already.

    Args:
        on_build: called before compiling, which takes ten seconds or more.

    Raises:
        DeviceError: they cannot be compiled or loaded here; the message gives the reason.
    """
    path = _path()

    def usable() -> bool:
        # The file must exist even if this process has loaded another home's library: child processes look for it.
        return path.is_file() and (_loaded or _load())

    def make(tell: OnProgress) -> None:
        tell(Progress(COMPILING, 0, 0))
        _compile(command, path)

    if usable():
        return
    command = compiler()
    made_once(path, usable, make, lambda _: on_build())
    if not (_loaded or _load()):
        raise DeviceError("the compiled kernels cannot be loaded.")


def _compile(compiler: str, path: Path) -> None:
    root = Path(torch.__file__).parent
    folder("kernels")
    with part_of(path) as work:
        partial = work / path.name
        headers = [f"-I{root / 'include'}", f"-I{root / 'include/torch/csrc/api/include'}"]
        libraries = [f"-L{root / 'lib'}", "-lc10", "-ltorch_cpu"]
        units = [source for source in SOURCES if source.suffix == ".cpp"]
        objects = {unit: work / f"{unit.stem}.o" for unit in units}
        _run(work, [[compiler, *flags(), *headers, "-c", unit, "-o", made] for unit, made in objects.items()])
        _run(work, [[compiler, *flags(), *objects.values(), "-o", partial, *libraries]])
        put(partial, path)


def _run(work: Path, commands: Sequence[Sequence[str | Path]]) -> None:
    """Run compilers side by side; they end if this process stops waiting for them, or is killed."""
    with contextlib.ExitStack() as running:
        for process in [running.enter_context(watched(work, command)) for command in commands]:
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace").splitlines()
            if process.wait():
                errors = [line for line in said if "error" in line] or ["the compiler was stopped"]
                raise DeviceError(errors[0].strip())


def c_shims() -> dict[torch._ops.OpOverload, list[str]]:
    """The C declaration that a compiled step calls in place of each operator."""
    handles = "AtenTensorHandle, AtenTensorHandle, AtenTensorHandle"
    return {
        torch.ops.fastglm.int4_product.default: [
            f"AOTITorchError aoti_torch_cpu_int4_product({handles}, AtenTensorHandle, int64_t, AtenTensorHandle*)"
        ],
        torch.ops.fastglm.int8_product.default: [
            f"AOTITorchError aoti_torch_cpu_int8_product({handles}, AtenTensorHandle*)"
        ],
        torch.ops.fastglm.float_product.default: [
            "AOTITorchError aoti_torch_cpu_float_product(AtenTensorHandle, AtenTensorHandle, AtenTensorHandle*)"
        ],
        torch.ops.fastglm.float_attention.default: [
            f"AOTITorchError aoti_torch_cpu_float_attention({handles}, AtenTensorHandle, AtenTensorHandle*)"
        ],
        torch.ops.fastglm.int8_attention.default: [
            f"AOTITorchError aoti_torch_cpu_int8_attention({handles}, {handles}, AtenTensorHandle*)"
        ],
    }


def _compiler() -> str:
    return os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))


@cache
def version() -> str:
    """Version of the kernels as compiled here: source, flags, PyTorch and kind of machine determine it."""
    made_of = ([path.read_bytes() for path in SOURCES], flags(), torch.__version__, platform.machine())
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]


def _path() -> Path:
    return home() / "kernels" / f"{version()}.so"


def _product_of(x: Tensor, weight: Tensor) -> Tensor:
    """A tensor with the shape of a product; a weight of four dimensions lies in panels."""
    return x.new_empty(x.shape[0], weight.shape[0] * (weight.shape[2] if weight.ndim == 4 else 1))


def _load() -> bool:
    global _loaded
    try:
        ctypes.CDLL(str(_path()), mode=ctypes.RTLD_GLOBAL)  # global: compiled steps call into the library
    except OSError:
        return False  # `build` will compile it again

    @torch.library.register_fake("fastglm::int4_product")
    def _(x: Tensor, weight: Tensor, scale: Tensor, zero: Tensor, group: int) -> Tensor:
        return _product_of(x, weight)

    @torch.library.register_fake("fastglm::int8_product")
    def _(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        return _product_of(x, weight)

    @torch.library.register_fake("fastglm::float_product")
    def _(x: Tensor, weight: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], weight.shape[0])

    @torch.library.register_fake("fastglm::float_attention")
    def _(q: Tensor, keys: Tensor, values: Tensor, places: Tensor) -> Tensor:
        return torch.empty_like(q)

    @torch.library.register_fake("fastglm::int8_attention")
    def _(q: Tensor, keys: Tensor, key_scale: Tensor, values: Tensor, value_scale: Tensor, places: Tensor) -> Tensor:
        return torch.empty_like(q)

    _loaded = True
    return True
