"""Speed of products with packed weights on this CPU, relative to fp32: `python -m benchmarks products` prints a
table.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.environment.machine import busy, busy_warning, machine
from benchmarks.exchange.result_file import ResultFile, Row
from benchmarks.measure import statistics
from benchmarks.measure.bounds import text, times
from benchmarks.measure.statistics import Estimate
from benchmarks.run.device import disturbance
from benchmarks.run.isolated import apart
from benchmarks.run.progress import BarReporter
from fastglm.engine.compile.prepare import prepare_kernels
from fastglm.kernels.formats import get_format
from fastglm.kernels.select import kernel_for
from fastglm.progress.progress import OnProgress, Progress

SHAPES = ((4096, 4096), (4096, 16384), (256, 1024))  # rows and columns of the weights
ROWS = (1, 4, 16, 128, 512)  # rows of activations
FORMATS = ("int8", "int4-g128")
REPEATS = 7


@torch.inference_mode()
def speedups(
    progress: OnProgress,
    shape: tuple[int, int] = SHAPES[0],
    rows: Sequence[int] = ROWS,
    formats: Sequence[str] = FORMATS,
) -> dict[tuple[str, int], Estimate]:
    """The speed relative to fp32 weights, by format and rows of activations; run in turn, pair by pair."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ways = {"fp32": lambda x: F.linear(x, weight), **{name: _product(name, weight) for name in formats}}
    found = {}
    for done, n in enumerate(rows):
        progress(Progress(f"products of {n} rows", done, len(rows)))
        x = torch.randn(n, shape[1], generator=torch.Generator().manual_seed(1))
        runs = [{name: _seconds(way, x) for name, way in ways.items()} for _ in range(1 + REPEATS)]
        for name in formats:  # the first run is the warm-up
            found[name, n] = statistics.median([run["fp32"] / run[name] for run in runs[1:]])
    return found


def _product(name: str, weight: Tensor) -> Callable[[Tensor], Tensor]:
    prepare_kernels(torch.device("cpu"))
    format = get_format(name)
    kernel = kernel_for(format, torch.device("cpu"), torch.float32)
    assert kernel is not None  # a CPU has one
    held = kernel.prepare(format.pack(weight), *weight.shape)
    return lambda x: kernel.multiply(x, held, *weight.shape)


def _seconds(way: Callable[[Tensor], Tensor], x: Tensor) -> float:
    start = time.perf_counter()
    way(x)
    return time.perf_counter() - start


def tell(json: Path | None = None) -> None:
    """Print a table with a line for each matrix and format, and write it to the file `json` line by line.

    Raises `UsageError` if the file is of another machine.
    """
    facts = machine("cpu")
    results = ResultFile.open(json, facts) if json else None
    print(f"{facts['cpu']}, {facts['threads']} threads, torch {torch.__version__}: × as fast as fp32, 95 % intervals")
    if warning := busy_warning(facts):
        print(f"warning: {warning}", flush=True)
    for shape in SHAPES:
        reporter, load, note = BarReporter(), busy(), disturbance("cpu")
        found = apart(speedups, reporter, shape)
        reporter.close()
        for name in FORMATS:
            row = Row.now(
                f"{shape[0]} × {shape[1]} {name}",
                [times(found[name, n], f"{n} rows") for n in ROWS],
                cpu_busy=load,
                note=note,
            )
            print(f"{row.name:24} {text(row.figures)}", flush=True)
            if results:
                results.put(row)
