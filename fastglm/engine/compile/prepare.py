"""The decode step of each loaded model, compiled if possible."""

import logging
import os
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import torch

from ...capacity import STEP
from ...errors import DeviceError
from ...kernels.cpu import library
from ...kernels.exact import is_exact
from ...progress.progress import COMPILING, OnProgress, Progress
from ..decode_step import DecodeStep, InnerStep
from ..kv_cache import make_cache
from .several import SeveralRowsStep
from .step import CompiledStep, compiled_step

log = logging.getLogger(__name__)

_steps: WeakKeyDictionary[Any, DecodeStep | CompiledStep] = WeakKeyDictionary()
_several: WeakKeyDictionary[Any, SeveralRowsStep] = WeakKeyDictionary()


class Preparation(NamedTuple):
    """Result of preparing: the reason why the step is not compiled, and therefore slower, if any; and the seconds of
    compiling, which later loads do not take.
    """

    reason: str | None = None
    compiling: float = 0.0


def prepare_kernels(device: torch.device, progress: OnProgress | None = None) -> Preparation:
    """Compile this package's kernels on a CPU; FASTGLM_COMPILE=0 leaves the work to PyTorch's.

    Without a compiler PyTorch's are used too, and `prepare` reports it.
    """
    if device.type != "cpu" or not library.possible() or not library.has_compiler():
        return Preparation()
    return _tried(library.build, "The kernels could not be compiled, and PyTorch's slower ones are used", progress)


def prepare(model: Any, threads: int, progress: OnProgress | None = None, tokens: int = 1) -> Preparation:
    """Compile the decode step of a model on a CPU; FASTGLM_COMPILE=0 leaves it uncompiled.

    Args:
        threads: number of threads that share the work of the compiled parts.
        tokens: of a step; more than 1 means any number from 2 to `MOST_TOKENS`.
    """
    if model.device.type != "cpu" or os.environ.get("FASTGLM_COMPILE") == "0":
        return Preparation()

    def work(on_build: Callable[[], None]) -> None:
        _steps[model] = _compile(model, threads, on_build, tokens=tokens)
        _several[model] = SeveralRowsStep(plain_step(model), partial(_compile_several, ref(model), threads))

    return _tried(work, "The decode step could not be compiled, and runs slower as single operators", progress)


def _tried(work: Callable[[Callable[[], None]], None], failed: str, progress: OnProgress | None) -> Preparation:
    """Call `work(on_build)`, which calls `on_build` before it compiles."""
    began: list[float] = []

    def on_build() -> None:
        began.append(perf_counter())  # the first call counts: it is called again while another process compiles
        if progress:
            progress(Progress(COMPILING, 0, 0))

    reason = None
    try:
        work(on_build)
    except DeviceError as error:
        reason = f"{failed}: {error}"
        log.warning(reason)
    return Preparation(reason, perf_counter() - began[0] if began else 0.0)


def step_of(model: Any) -> DecodeStep | CompiledStep:
    """The step of a model; not compiled if `prepare` did not compile it, the model has changed since, or must multiply
    exactly.
    """
    if is_exact(model):
        return plain_step(model)
    step = _steps.get(model)
    if step is None or not step.is_current:
        step = _steps[model] = plain_step(model)
    return step


def many_step(model: Any) -> DecodeStep | SeveralRowsStep:
    """The step of several rows of a model; compiled in the background if the step of one row was compiled."""
    step = _several.get(model)
    return plain_step(model) if step is None or not step.is_current else step


def finish_several(model: Any) -> None:
    """Wait until the step of several rows is compiled, for measuring."""
    if model in _several:
        _several[model].begin().join()


def plain_step(model: Any) -> DecodeStep:
    """The uncompiled step."""
    return DecodeStep(model.decoder(), model.config.cache_format == "int8")


def part_step(model: Any, layers: range) -> DecodeStep:
    """The step of some layers, from hidden states; only that of the last gives logits."""
    kind = DecodeStep if layers.stop == model.config.layers else InnerStep
    return kind(model.decoder().part(layers), model.config.cache_format == "int8", layers.start)


def _compile_several(model: ref[Any], threads: int) -> CompiledStep:
    return _compile(model(), threads, lambda: None, rows=2)


@torch.inference_mode()
def _compile(model: Any, threads: int, on_build: Callable[[], None], rows: int = 1, tokens: int = 1) -> CompiledStep:
    library.compiler()
    step = plain_step(model)
    cache = make_cache(model)
    cache.resize(rows, 4 * STEP)
    cache.begin(range(rows), [STEP] * rows, torch.zeros(rows, model.config.position_kinds, 2, dtype=torch.long))
    example = [torch.zeros(rows, tokens, dtype=torch.long), *cache.inputs(0, rows, STEP + tokens)]
    plain = step(*example)  # also does work of the first use: tables, the layouts of packed weights
    compiled = compiled_step(step, example, threads, on_build)
    for row in range(rows):
        cache.rewind(row, tokens)
    found = compiled(*example)
    if not torch.allclose(found[0], plain[0], rtol=0.05, atol=0.05 * float(plain[0].abs().max())):
        raise DeviceError("it gives other logits than the operators.")
    return compiled
