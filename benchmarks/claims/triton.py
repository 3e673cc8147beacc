"""Checks of the Triton kernels on this machine's card: correctness, and speed relative to the memory's bandwidth."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.measure.bounds import ClaimedFigure
from benchmarks.run.device import alone
from benchmarks.run.progress import Reporter
from fastglm.errors import FastGLMError
from fastglm.kernels.cuda.kernel import TritonKernel, refusal
from fastglm.kernels.formats import Int4, Int8, WeightFormat
from fastglm.system.devices import memory_bandwidth

# Rows and columns of ChatGLM-6B's four linear maps.
MATRICES = ((12288, 4096), (4096, 4096), (16384, 4096), (4096, 16384))
SIZES = (1, 2, 4, 16, 64, 256, 1024)  # rows of x
BOUNDS = {torch.float16: 2e-3, torch.bfloat16: 1e-2}
LEAST = {"int8": 0.7, "int4-g128": 0.5}  # share of the copy bandwidth, for one row
PROMISED = "kernels on a GPU: right, int8 at 70 % and int4 at 50 % of the copy bandwidth, never slower than fp16"

Clock = Callable[[Callable[[], Any]], float]  # seconds of a call


@dataclass(frozen=True, slots=True)
class Timing:
    """One way to multiply one matrix: seconds, bytes of weights, ‖error‖ / ‖exact‖, and whether the rule chooses it."""

    format: str
    dtype: torch.dtype
    matrix: tuple[int, int]
    size: int
    way: str
    seconds: float
    plain: float  # seconds of the library's product with weights in `dtype`
    bytes: int
    error: float
    chosen: bool

    def line(self, bandwidth: int) -> str:
        """One row of the table."""
        share = self.bytes / self.seconds / bandwidth
        shape = "{} × {}".format(*self.matrix)
        return (
            f"{self.format:10} {str(self.dtype)[6:]:9} {shape:14} {self.size:5} rows  {self.way:20} "
            f"{self.seconds * 1e6:9.1f} µs {share:7.1%} of the bandwidth {self.plain / self.seconds:7.2f} × plain  "
            f"error {self.error:.0e}{'  chosen' if self.chosen else ''}"
        )


def promise(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare every kernel with float64, timed in turn with the library's product; print a table of all ways."""
    if not torch.cuda.is_available():
        return []
    from triton.testing import do_bench

    def clock(call: Callable[[], Any]) -> float:
        return float(do_bench(call, warmup=10, rep=40, return_mode="median")) / 1e3  # empties the cache before each

    device = torch.device("cuda", torch.cuda.current_device())
    with alone(str(device), "benchmark", reporter):
        bandwidth = memory_bandwidth(device)
        if not bandwidth:
            raise FastGLMError(f"{device} is too full: end other programs on the card")
        timings = []
        for timing in measure(device, torch.cuda.get_device_capability(device), MATRICES, SIZES, clock):
            timings.append(timing)
            print(timing.line(bandwidth), flush=True)
    return judge(timings, bandwidth)


@torch.inference_mode()
def measure(
    device: torch.device,
    capability: tuple[int, int],
    matrices: Sequence[tuple[int, int]],
    sizes: Sequence[int],
    clock: Clock,
) -> Iterator[Timing]:
    """Time every way that the rule chooses from, with random weights and activations."""
    formats: list[tuple[WeightFormat, int]] = [(Int8(), 8), (Int4(32), 4), (Int4(128), 4)]
    for dtype in BOUNDS:
        if refusal(capability, dtype):
            continue
        for rows, columns in matrices:
            generator = torch.Generator(device).manual_seed(0)
            weight, inputs = (torch.randn(n, columns, generator=generator, device=device) for n in (rows, max(sizes)))
            for format, bits in formats:
                kernel, parts = TritonKernel(format, bits, getattr(format, "group", None)), format.pack(weight)
                exact = format.unpack(parts, columns).double().T
                held, plain = kernel.prepare(parts, rows, columns), weight.to(dtype)
                for size in sizes:
                    x = inputs[:size].to(dtype)
                    yield from _ways(kernel, held, x, x.double() @ exact, plain, clock, capability)


def _ways(
    kernel: TritonKernel,
    held: tuple[torch.Tensor, ...],
    x: torch.Tensor,
    exact: torch.Tensor,
    plain: torch.Tensor,
    clock: Clock,
    capability: tuple[int, int],
) -> Iterator[Timing]:
    from fastglm.kernels.cuda import launch

    matrix, size = kernel.matrix(held, x.shape[1]), x.shape[0]
    processors = launch.card(x.device)[1]
    chosen = launch.choose(matrix, size, capability, processors)
    ways = [launch.Way("library")]
    if size <= 16:
        ways.append(launch.vector(matrix, size, processors))
    if capability >= (8, 0):
        ways.append(launch.tile(matrix, size, processors))
    library = clock(lambda: F.linear(x, plain))
    for way in ways:
        found = launch.run(way, x, matrix)
        yield Timing(
            format=kernel.format.name,
            dtype=x.dtype,
            matrix=(matrix.rows, matrix.columns),
            size=size,
            way=f"{way.kernel}, {way.parts} parts",
            seconds=clock(lambda way=way: launch.run(way, x, matrix)),  # type: ignore[misc]
            plain=library,
            bytes=sum(part.nbytes for part in held),
            error=float((found.double() - exact).norm() / exact.norm()),
            chosen=way == chosen,
        )


def judge(timings: Sequence[Timing], bandwidth: int) -> list[ClaimedFigure]:
    """The number of wrong ways, which must be zero; the bandwidth of one row; the slowest chosen way."""
    wrong = [timing for timing in timings if not timing.error <= BOUNDS[timing.dtype]]
    chosen = [timing for timing in timings if timing.chosen]
    shares = {name: _share([t for t in chosen if t.format == name and t.size == 1], bandwidth) for name in LEAST}
    return [
        ClaimedFigure(len(wrong), what="wrong", most=0),
        *(ClaimedFigure(share, "fraction", name, least=LEAST[name]) for name, share in shares.items()),
        ClaimedFigure(min(timing.plain / timing.seconds for timing in chosen), "× fp16", "at worst", least=1),
    ]


def _share(timings: Sequence[Timing], bandwidth: int) -> float:
    """The share of the bandwidth that all matrices together reach; the median over the dtypes."""
    dtypes = {timing.dtype for timing in timings}
    each = [[timing for timing in timings if timing.dtype == dtype] for dtype in dtypes]
    return statistics.median(sum(t.bytes for t in some) / sum(t.seconds for t in some) / bandwidth for some in each)
