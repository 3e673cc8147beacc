"""Results of the Triton kernels, in Triton's interpreter, against float64.

They run in a separate process: Triton decides when a kernel is defined whether to interpret it, and other tests of this
process compile the same kernels. Results of `torch.empty` are poisoned with NaN there.
"""

import itertools
import multiprocessing
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.claims.triton import BOUNDS, Timing, measure
from fastglm.kernels.cuda.kernel import TritonKernel
from fastglm.kernels.epilogue import NOTHING, Epilogue
from fastglm.kernels.formats import Int4, Int8, WeightFormat
from fastglm.kernels.quantized_cache import pack, quantise
from fastglm.kernels.rotary import apply_rotary, rotate_pairs
from fastglm.models.chatglm.rotary import Rotary2D

pytest.importorskip("triton", reason="Triton has no wheels for this system")
FORMATS = [Int4(32), Int4(64), Int4(128), Int4(None), Int8()]
Shape = tuple[int, int, int]  # rows, columns, rows of x


@pytest.fixture(scope="module")
def interpreter() -> Iterator[ProcessPoolExecutor]:
    with pytest.MonkeyPatch.context() as patch, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        assert process.submit(poison).result()
        yield process


def poison() -> bool:
    """Make `torch.empty` give NaN, and the interpreter's `tl.dot` take bf16, whose bits it would multiply as
    integers.
    """
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, _convert_float, tl

    plain = InterpreterBuilder.create_dot

    def wide(handle: Any) -> Any:
        if handle.dtype != tl.bfloat16:
            return handle
        return TensorHandle(_convert_float(handle.data, tl.bfloat16, tl.float32, None).view("float32"), tl.float32)

    InterpreterBuilder.create_dot = lambda self, a, b, *others: plain(self, wide(a), wide(b), *others)
    torch.use_deterministic_algorithms(True)
    return bool(torch.empty(3).isnan().all())


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def kernel_of(format: WeightFormat) -> TritonKernel:
    return TritonKernel(format, 8 if format.name == "int8" else 4, getattr(format, "group", None))


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """‖found - exact‖ / ‖exact‖; NaN if a result was not written."""
    return float((found.double() - exact).norm() / exact.norm())


def product_errors(
    format: WeightFormat, dtype: torch.dtype, shape: Shape, ends: str | None = None, counts: tuple[int, ...] = (1,)
) -> dict[str, float]:
    """Errors of every way to multiply, on cards with these numbers of multiprocessors: with many, programs share
    columns.
    """
    from fastglm.kernels.cuda import launch

    rows, columns, size = shape
    parts, kernel = format.pack(normal(rows, columns)), kernel_of(format)
    matrix = kernel.matrix(kernel.prepare(parts, rows, columns), columns)
    x, after = normal(size, columns, seed=1).to(dtype), NOTHING
    exact = x.double() @ format.unpack(parts, columns).double().T
    if ends:
        bias, residual = 3 * normal(rows, seed=2).to(dtype), normal(size, rows, seed=3).to(dtype)
        exact = exact + bias.double()
        if ends == "swiglu":
            gate, scaled = exact.chunk(2, 1)
            exact, residual = nn.functional.silu(gate) * scaled, residual[:, : rows // 2]
        else:
            exact = nn.functional.gelu(exact, approximate="tanh")
        after = Epilogue(bias, ends == "gelu", ends == "swiglu", residual, 7.5)
        exact += 7.5 * residual.double()
    makes = [launch.vector, launch.tile] if size <= launch.VECTOR_BEFORE_8 else [launch.tile]
    ways = [make(matrix, size, count) for make in makes for count in counts]
    return {
        f"{way.kernel}, {way.parts} parts": error(launch.run(way, x, matrix, after), exact)
        for way in [*ways, launch.Way("library")]
    }


def shapes(format: WeightFormat) -> list[Shape]:
    """Odd shapes, and a random one seeded by the format's name."""
    drawn = random.Random(format.name)
    even = 2 if format.name == "int4-published" else 1
    one = drawn.randint(1, 40), even * drawn.randint(1, 300 // even), drawn.randint(2, 4)
    return [(37, 201 if even == 1 else 226, 1), one, (5, 66, 16), (3, 40, 17)]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_products_agree_with_float64_for_any_shape(
    format: WeightFormat, dtype: torch.dtype, interpreter: ProcessPoolExecutor
) -> None:
    for shape in shapes(format):
        errors = interpreter.submit(product_errors, format, dtype, shape).result()
        assert len(errors) >= 2
        assert all(found <= BOUNDS[dtype] for found in errors.values()), (shape, errors)


@pytest.mark.parametrize("format", [Int4(32), Int8()], ids=lambda format: format.name)
def test_columns_are_shared_by_several_programs(format: WeightFormat, interpreter: ProcessPoolExecutor) -> None:
    errors = interpreter.submit(product_errors, format, torch.float16, (6, 2080, 2), None, (1, 60)).result()
    assert sum(not name.endswith(" 1 parts") for name in errors) == 3, errors
    assert all(found <= 2e-3 for found in errors.values()), errors


@pytest.mark.parametrize("format", [Int4(128), Int8()], ids=lambda format: format.name)
def test_bias_activation_and_residual_follow(format: WeightFormat, interpreter: ProcessPoolExecutor) -> None:
    asked = {(9, 1100, 1): "gelu", (10, 300, 5): "gelu", (14, 1100, 1): "swiglu", (70, 300, 5): "swiglu"}
    for shape, ends in asked.items():
        errors = interpreter.submit(product_errors, format, torch.float16, shape, ends, (1, 60)).result()
        assert all(found <= 2e-3 for found in errors.values()), (shape, errors)


def kernel_results(format: WeightFormat, dtype: torch.dtype) -> tuple[float, float]:
    """Errors of `TritonKernel` itself, on a pretended card: of a product, and of gathered rows."""
    card = SimpleNamespace(major=8, minor=0, multi_processor_count=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "get_device_properties", lambda _: card)
        patch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
        patch.setattr(torch.cuda, "device", lambda _: nullcontext())
        parts, kernel, x = format.pack(normal(41, 130)), kernel_of(format), normal(3, 130, seed=1).to(dtype)
        held, weight = kernel.prepare(parts, 41, 130), format.unpack(parts, 130).double()
        ids = torch.tensor([40, 0, 7])
        gathered = kernel.gather(ids, held, 41, 130)
        return error(kernel.multiply(x, held, 41, 130), x.double() @ weight.T), error(gathered, weight[ids])


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_the_kernel_multiplies_and_gathers(format: WeightFormat, interpreter: ProcessPoolExecutor) -> None:
    product, gathered = interpreter.submit(kernel_results, format, torch.bfloat16).result()
    assert product <= 1e-2
    assert gathered <= 1e-6


def add_norm_error(dtype: torch.dtype, rows: int, width: int) -> float:
    from fastglm.kernels.cuda.fused import launch_add_norm

    x, residual = (normal(rows, width, seed=seed).to(dtype) for seed in (0, 1))
    norm = nn.LayerNorm(width, eps=1e-5)
    norm.weight.data, norm.bias.data = normal(width, seed=2), normal(width, seed=3)
    norm = norm.to(dtype).requires_grad_(False)
    found = launch_add_norm(x, residual, 7.5, norm)
    return error(found, norm.double()(x.double() + 7.5 * residual.double()))


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
def test_the_norm_of_a_sum_agrees_with_float64(dtype: torch.dtype, interpreter: ProcessPoolExecutor) -> None:
    for rows, width in [(1, 320), (3, 37)]:
        assert interpreter.submit(add_norm_error, dtype, rows, width).result() <= BOUNDS[dtype]


def add_rms_norm_errors(dtype: torch.dtype, rows: int, width: int) -> list[float]:
    from fastglm.kernels.cuda.fused import launch_add_rms_norm

    x, residual = (normal(rows, width, seed=seed).to(dtype) for seed in (0, 1))
    norm = nn.RMSNorm(width, eps=1e-5).to(dtype).requires_grad_(False)
    norm.weight.data = normal(width, seed=2).to(dtype)
    total, found = launch_add_rms_norm(x, residual, norm)
    exact = x.double() + residual.double()
    return [error(total, exact), error(found, norm.double()(exact))]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
def test_a_sum_and_its_rms_norm_agree_with_float64(dtype: torch.dtype, interpreter: ProcessPoolExecutor) -> None:
    for rows, width in [(1, 320), (3, 37)]:
        assert max(interpreter.submit(add_rms_norm_errors, dtype, rows, width).result()) <= BOUNDS[dtype]


def attention_error(dtype: torch.dtype, groups: int, queries: int, is_int8: bool, processors: int) -> float:
    """Error of attention of 24 heads over two rows of a cache, behind whose lengths there is no number."""
    from fastglm.kernels.cuda.fused import launch_attention

    heads, width, capacity, lengths = 24, 20, 300, torch.tensor([261, 7])
    card = SimpleNamespace(major=8, minor=0, multi_processor_count=processors)
    q = normal(2, heads, queries, width).to(dtype)
    k, v = (normal(2, groups, capacity, width, seed=seed).to(dtype) for seed in (1, 2))
    keys, values = (tuple(quantise(x)) if is_int8 else (x, None) for x in (k, v))
    whole = [x.double() * (1 if scale is None else scale.double()) for x, scale in (keys, values)]
    for row, length in enumerate(lengths):
        for buffer in (keys[1], values[1]) if is_int8 else (keys[0], values[0]):
            buffer[row, :, length:] = torch.nan
    places = lengths[:, None] - queries + torch.arange(queries)
    seen = (torch.arange(capacity) <= places[:, :, None])[:, None]
    exact = nn.functional.scaled_dot_product_attention(q.double(), *whole, seen, enable_gqa=True)
    cut = [tuple(x if x is None else x[:, :, :280] for x in each) for each in (keys, values)]  # with gaps between heads
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "get_device_properties", lambda _: card)
        return error(launch_attention(q, *cut, places), exact)


@pytest.mark.parametrize(("dtype", "is_int8"), list(itertools.product(BOUNDS, (False, True))))
def test_attention_with_shared_keys_agrees_with_float64(
    dtype: torch.dtype, is_int8: bool, interpreter: ProcessPoolExecutor
) -> None:
    for groups, queries, processors in [(1, 1, 1), (2, 3, 40), (4, 1, 1), (24, 1, 200)]:
        found = interpreter.submit(attention_error, dtype, groups, queries, is_int8, processors).result()
        assert found <= BOUNDS[dtype], (groups, queries, processors)


def pair_errors(dtype: torch.dtype, groups: int, is_int8: bool) -> list[float]:
    """Errors of q and of k and v in the cache, with the first half of each head rotated in pairs."""
    from fastglm.kernels.cuda.fused import launch_rotate_pairs

    batch, tokens, heads, width, capacity = 2, 3, 4, 24, 10
    qkv = normal(batch, tokens, heads + 2 * groups, width).to(dtype)
    cos, sin = (normal(batch, tokens, 1, width, seed=seed).to(dtype) for seed in (1, 2))
    cos[..., 12:], sin[..., 12:] = 1, 0
    kinds = [(width, torch.int8), (1, dtype)] if is_int8 else [(width, dtype)]
    held = [torch.full((batch, groups, capacity, n), 99, dtype=kind) for n, kind in 2 * kinds]
    places = torch.tensor([[7, 2, 5], [1, 9, 4]])
    q = launch_rotate_pairs(qkv, groups, (cos, sin), held, places)
    exact = rotate_pairs(qkv[:, :, : heads + groups].double(), (cos.double(), sin.double())).transpose(1, 2)
    half = len(held) // 2
    seen = [[_at(buffer, places) for buffer in held[n : n + half]] for n in (0, half)]
    k, v = (part[0].double() * part[1].double() if is_int8 else part[0] for part in seen)
    others = torch.tensor([[place for place in range(capacity) if place not in row] for row in places])
    assert all((_at(buffer, others) == 99).all() for buffer in held)
    return [
        error(q, exact[:, :heads]),
        error(k, exact[:, heads:]),
        error(v, qkv[:, :, heads + groups :].transpose(1, 2)),
    ]


@pytest.mark.parametrize(("dtype", "is_int8"), list(itertools.product(BOUNDS, (False, True))))
def test_rotated_pairs_with_shared_keys_lie_in_the_cache(
    dtype: torch.dtype, is_int8: bool, interpreter: ProcessPoolExecutor
) -> None:
    for groups in (1, 2, 4):
        q, k, v = interpreter.submit(pair_errors, dtype, groups, is_int8).result()
        assert q <= BOUNDS[dtype]
        assert max(k, v) <= (1e-2 if is_int8 else BOUNDS[dtype])


def _at(buffer: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Vectors of a cache at places, [batch, tokens]: [batch, heads, tokens, width]."""
    return torch.stack([row[:, each] for row, each in zip(buffer, places, strict=True)])


def rotary_errors(dtype: torch.dtype, tokens: int, batch: int, is_int8: bool) -> list[float]:
    """Errors of q and of k and v in the cache, and the change of the rest of the cache."""
    from fastglm.kernels.cuda.fused import launch_rotate

    heads, width, capacity = 3, 24, 10
    qkv = normal(batch, tokens, heads, 3 * width).to(dtype)
    positions = torch.randint(0, 50, (batch, 2, tokens), generator=torch.Generator().manual_seed(1))
    rotation = Rotary2D(width, 64)(positions, 64, dtype)
    kinds = [(width, torch.int8), (1, dtype)] if is_int8 else [(width, dtype)]
    held = [torch.full((batch, heads, capacity, n), 99, dtype=kind) for n, kind in 2 * kinds]
    places = torch.tensor([[7, 2, 5][:tokens], [1, 9, 4][:tokens]][:batch])
    q = launch_rotate(qkv, rotation, held, places)
    exact = apply_rotary(qkv[..., : 2 * width].double(), tuple(part.double() for part in rotation))
    exact_q, exact_k = exact.transpose(1, 2).chunk(2, -1)
    exact_v = qkv[..., 2 * width :].transpose(1, 2).double()
    half = len(held) // 2
    seen = [[_at(buffer, places) for buffer in held[n : n + half]] for n in (0, half)]
    k, v = (part[0].double() * part[1].double() if is_int8 else part[0] for part in seen)
    if is_int8 and dtype == torch.float16:  # the interpreter truncates numbers to bf16, a card rounds them
        expected = pack(exact_v.to(dtype))
        assert torch.equal(seen[1][0], expected[..., :width])
        assert torch.equal(seen[1][1].view(torch.int8), expected[..., width:])
    others = torch.tensor([[place for place in range(capacity) if place not in row] for row in places])
    assert all((_at(buffer, others) == 99).all() for buffer in held)
    return [error(q, exact_q), error(k, exact_k), error(v, exact_v)]


@pytest.mark.parametrize(("dtype", "is_int8"), list(itertools.product(BOUNDS, (False, True))))
def test_rotated_keys_and_values_lie_in_the_cache(
    dtype: torch.dtype, is_int8: bool, interpreter: ProcessPoolExecutor
) -> None:
    for tokens, batch in [(1, 1), (3, 2)]:
        q, k, v = interpreter.submit(rotary_errors, dtype, tokens, batch, is_int8).result()
        assert q <= BOUNDS[dtype]
        assert max(k, v) <= (1e-2 if is_int8 else BOUNDS[dtype])


def self_test(dtype: torch.dtype) -> str | None:
    from fastglm.kernels.cuda.fused import difference

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=8, minor=0, multi_processor_count=2)
        )
        return difference(torch.device("cpu"), dtype)


def test_the_check_before_first_use_finds_nothing(interpreter: ProcessPoolExecutor) -> None:
    assert interpreter.submit(self_test, torch.float16).result() is None


def benchmark_timings() -> list[Timing]:
    card = SimpleNamespace(major=8, minor=0, multi_processor_count=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "get_device_properties", lambda _: card)
        return list(
            measure(torch.device("cpu"), (8, 0), [(9, 96)], (1, 3), lambda call: 2.0 if call() is None else 1.0)
        )


def test_the_benchmark_times_every_way(interpreter: ProcessPoolExecutor) -> None:
    timings = interpreter.submit(benchmark_timings).result()
    assert len(timings) == 2 * 3 * 2 * 3  # dtypes, formats, sizes, ways
    assert sum(timing.chosen for timing in timings) == 12
    assert all(timing.error <= BOUNDS[timing.dtype] for timing in timings)
