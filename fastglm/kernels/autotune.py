"""Autotuning of products: the fastest of several ways is measured once per machine and stored in its home."""

import json
import time
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..system.devices import processor_name
from ..system.files import replacing
from ..system.home import home
from . import trial
from .cpu import library
from .format import Parts, WeightFormat
from .kernel import Kernel

FILE = "kernels.json"
ROWS = (1, 4, 16, 64, 256)  # rows of activations at which times are measured
SEVERAL = 8  # rows for which the way of a compiled step of several rows is chosen
LARGEST = (1024, 4096)  # rows and columns of the test weights: larger matrices are multiplied in such blocks
REPEATS = 4  # the quickest repeat counts, because other programs can only slow one down

Strategy = Callable[[Tensor, tuple[Tensor, ...], int, int], Tensor]  # the same as `Kernel.multiply`
Times = dict[str, list[float]]  # seconds at each of ROWS, by the name of the way

_known: dict[str, dict[str, Times]] = {}  # by machine, then by format and shape


class MeasuredKernel(Kernel):
    """A kernel with several ways to multiply; for each number of rows it uses the fastest."""

    def __init__(self, format: WeightFormat) -> None:
        self.format = format
        self._times: Times = {}
        # By name: a method would refer back to this object, and a step could not be pickled.
        self._fastest: dict[int, str] = {}

    @abstractmethod
    def hold(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        """Convert the portable layout to the kernel's own."""

    @abstractmethod
    def ways(self) -> dict[str, Strategy]:
        """All ways to multiply, by name."""

    def prepare(self, parts: Parts, rows: int, columns: int) -> tuple[Tensor, ...]:
        self._times = times_of(self, rows, columns)
        return self.hold(parts, rows, columns)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the times: the key of a compiled step contains the way for each number of rows, but no times."""
        fixed = {n: fastest(self._times, n) for n in (1, SEVERAL)} if self._times else {}
        return self.__dict__ | {"_times": {}, "_fastest": fixed}

    def multiply(self, x: Tensor, held: tuple[Tensor, ...], rows: int, columns: int) -> Tensor:
        n = x.shape[0] if isinstance(x.shape[0], int) else SEVERAL
        if n not in self._fastest:
            self._times = self._times or times_of(self, rows, columns)
            self._fastest[n] = fastest(self._times, n)
        product = self.ways()[self._fastest[n]](x, held, rows, columns)
        return product.to(x.dtype) if product.dtype.itemsize > x.dtype.itemsize else product


def seconds(times: list[float], rows: int) -> float:
    """Seconds of a product of `rows` rows of activations, interpolated between the two nearest of ROWS; for more rows
    than the last of them, the time of the last.
    """
    rows = min(rows, ROWS[-1])
    right = min(max(bisect_left(ROWS, rows), 1), len(ROWS) - 1)
    a, b = ROWS[right - 1], ROWS[right]
    return times[right - 1] + (times[right] - times[right - 1]) * (rows - a) / (b - a)


def fastest(times: Times, rows: int) -> str:
    """The name of the fastest way for `rows` rows of activations."""
    return min(times, key=lambda name: seconds(times[name], rows))


def times_of(kernel: MeasuredKernel, rows: int, columns: int) -> Times:
    """Times of each way of a kernel for matrices of about this shape: stored ones, or measured now.

    A way that fails or gives wrong products has no times.
    """
    rows, columns = (min(_above(size), most) for size, most in zip((rows, columns), LARGEST, strict=True))
    ways = ", ".join(kernel.ways())  # stored times hold for these ways only
    machine = _machine(torch.get_num_threads())
    key = f"{type(kernel).__name__} {kernel.format.name} {rows} × {columns}: {ways}; {trial.NAME}"
    known = _known.setdefault(machine, {})
    if key not in known:
        known[key] = _read(machine, key, kernel.ways()) or _keep(machine, key, kernel, rows, columns)
    return known[key]


def _above(size: int) -> int:
    """The next power of two, 64 or more."""
    return max(64, 1 << (size - 1).bit_length())


@cache
def _machine(threads: int) -> str:
    simd = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, kernels {library.version()[:8]}, {processor_name()}, {simd}, {threads} threads"


@torch.inference_mode()
def _measure(kernel: MeasuredKernel, rows: int, columns: int) -> Times:
    products = trial.Trial(kernel.format, rows, columns)
    held = kernel.hold(products.parts, rows, columns)
    x = torch.randn(ROWS[-1], columns, generator=torch.Generator().manual_seed(0))

    def right(way: Strategy) -> bool:
        try:
            return products.passed(lambda x: way(x, held, rows, columns))
        except (RuntimeError, AttributeError):  # an operator that refuses, or is missing in this PyTorch
            return False

    def timed(way: Strategy, n: int) -> float:
        start = time.perf_counter()
        way(x[:n], held, rows, columns)
        return time.perf_counter() - start

    ways = {name: way for name, way in kernel.ways().items() if right(way)}
    taken: Times = {name: [] for name in ways}
    for n in ROWS:
        # In turn; the first round is the warm-up.
        runs = [[timed(way, n) for way in ways.values()] for _ in range(1 + REPEATS)]
        for name, each in zip(ways, zip(*runs[1:], strict=True), strict=True):
            taken[name].append(min(each))
    return taken


def _read(machine: str, key: str, ways: dict[str, Strategy]) -> Times | None:
    """Read stored times; None if there are none, or the file is not valid or older than these ways."""
    shapes = _read_all().get(machine)
    found = shapes.get(key) if isinstance(shapes, dict) else None
    if not isinstance(found, dict) or not found or not found.keys() <= ways.keys():
        return None
    sound = all(isinstance(each, list) and len(each) == len(ROWS) for each in found.values())
    return found if sound and all(isinstance(s, float) for each in found.values() for s in each) else None


def _read_all() -> dict[str, Any]:
    try:
        found = json.loads((home() / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(machine: str, key: str, kernel: MeasuredKernel, rows: int, columns: int) -> Times:
    """Measure, and add the times to the file atomically; times that another process stored meanwhile stay."""
    measured = _measure(kernel, rows, columns)
    if theirs := _read(machine, key, kernel.ways()):
        return theirs
    everything = _read_all()
    shapes = everything.get(machine)
    if not isinstance(shapes, dict):
        shapes = {}
    # Times of ways that passed an older version of the trial are dropped.
    everything[machine] = {other: kept for other, kept in shapes.items() if other.endswith(trial.NAME)} | {
        key: measured
    }
    with suppress(OSError):  # without a place to write, the times last as long as this process
        home().mkdir(parents=True, exist_ok=True)
        with replacing(home() / FILE) as partial:
            partial.write_text(json.dumps(everything, indent=1, ensure_ascii=False), encoding="utf-8")
    return measured
