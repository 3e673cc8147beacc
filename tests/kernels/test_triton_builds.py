"""Every Triton kernel, with the arguments of a launch, compiled to machine code for cards that this machine does not
have.

NVIDIA's own tool reads the code's resources: no register is spilled to memory, and the shared memory fits a block of
that card. Nothing here measures speed.
"""

import re
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from fastglm.kernels.cuda import fused
from fastglm.kernels.cuda.kernel import TritonKernel, refusal
from fastglm.kernels.epilogue import Epilogue
from fastglm.kernels.formats import Int4, Int8, WeightFormat
from fastglm.kernels.select import kernel_for

triton = pytest.importorskip("triton", reason="Triton has no wheels for this system")
launch = pytest.importorskip("fastglm.kernels.cuda.launch")
steps = pytest.importorskip("fastglm.kernels.cuda.steps")
attention = pytest.importorskip("fastglm.kernels.cuda.attention")

# Kilobytes of shared memory that a block may have: CUDA C++ Programming Guide, table of technical specifications.
SHARED = {75: 64, 80: 163, 86: 99, 89: 99, 90: 227}
TYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32", torch.int64: "i64", torch.int32: "i32",
         torch.int8: "i8"}  # fmt: skip
ROWS, COLUMNS = 4096, 4096


class Recorder:
    """Replaces a kernel, and keeps the arguments of its launches."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.launches: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        assert all(size > 0 for size in grid)
        return lambda *args, **named: self.launches.append((self.kernel, args, named))


def launches_of(run: Callable[[], Any], *modules: Any) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        recorders = []
        for module in modules:
            for name, kernel in list(vars(module).items()):
                if isinstance(kernel, triton.JITFunction):
                    recorders.append(Recorder(kernel))
                    patch.setattr(module, name, recorders[-1])
        run()
    return [found for recorder in recorders for found in recorder.launches]


def compile(kernel: Any, args: tuple[Any, ...], named: dict[str, Any], capability: int) -> Any:
    """Compile like Triton at a launch: a 1 is a constant, pointers and multiples of 16 are known as such."""
    given = dict(zip(kernel.arg_names, args, strict=False)) | named
    options = {name: given.pop(name) for name in ("num_warps", "num_stages") if name in given}
    constants = {name: given[name] for name in kernel.arg_names if name in named or _is_one(given[name])}
    signature, attributes = {}, {}
    for number, name in enumerate(kernel.arg_names):
        value = given[name]
        if isinstance(value, torch.Tensor):
            signature[name] = "*" + TYPES[value.dtype]
        else:
            signature[name] = "fp32" if isinstance(value, float) else "i32"
        if name in constants:
            signature[name] = "constexpr"
        elif isinstance(value, torch.Tensor) or value % 16 == 0:
            attributes[(number,)] = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(kernel, signature, constants, attributes)
    target = triton.backends.compiler.GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=options)


def _is_one(value: Any) -> bool:
    return isinstance(value, int) and value == 1


def check(launches: list[Any], capability: int, tmp_path: Any, expected: set[str]) -> None:
    assert {kernel.__name__ for kernel, *_ in launches} == expected
    for kernel, args, named in launches:
        compiled = compile(kernel, args, named, capability)
        file = tmp_path / f"{kernel.__name__}.cubin"
        file.write_bytes(compiled.asm["cubin"])
        tool = triton.knobs.nvidia.cuobjdump.path
        read = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
        stack, local = (int(size) for size in re.search(r"STACK:(\d+).* LOCAL:(\d+)", read).groups())
        assert stack == local == 0, f"{kernel.__name__} for {capability} spills registers: {read}"
        assert compiled.metadata.shared <= SHARED[capability] * 1024
        assert f"sm_{capability}" in compiled.asm["ptx"]


def products(
    bits: int, group: int, dtype: torch.dtype, size: int, capability: int, processors: int, after: str | None
) -> Any:
    """The launches of one product, by the rule for a card; nothing is computed."""

    def run() -> None:
        x = torch.empty(size, COLUMNS, dtype=dtype)
        words = torch.empty(ROWS, COLUMNS * bits // 32, dtype=torch.int32)
        scale = torch.empty((ROWS, COLUMNS // group) if group else ROWS, dtype=torch.bfloat16)
        matrix = launch.Packed(words, scale, scale if group else None, COLUMNS, bits, group)
        residual = torch.empty(size, ROWS // 2 if after == "swiglu" else ROWS, dtype=dtype)
        ends = Epilogue(x[0, :ROWS], after == "gelu", after == "swiglu", residual, 7.5) if after else Epilogue()
        way = launch.choose(matrix, size, divmod(capability, 10), processors)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(launch.F, "linear", lambda x, weight: x.new_empty(size, len(weight)))
            launch.run(way, x, matrix, ends)

    return launches_of(run, launch.products)


@pytest.mark.parametrize("capability", SHARED)
def test_vector_products(capability: int, tmp_path: Any) -> None:
    for bits, group, dtype in [(4, 128, torch.float16), (4, 32, torch.bfloat16), (8, 0, torch.bfloat16)]:
        if refusal(divmod(capability, 10), dtype):
            assert (capability, dtype) == (75, torch.bfloat16)
            dtype = torch.float16
        for after in ("gelu", "swiglu") if bits == 4 else ("gelu",):
            found = products(bits, group, dtype, 1, capability, 80, after)
            check(found, capability, tmp_path, {"vector_product"})


@pytest.mark.parametrize("capability", [capability for capability in SHARED if capability >= 80])
@pytest.mark.parametrize("size", [16, 64])
def test_tile_products(capability: int, size: int, tmp_path: Any) -> None:
    for bits, group, dtype in [(4, 128, torch.float16), (4, 32, torch.bfloat16), (8, 0, torch.bfloat16)]:
        for after in ("gelu", "swiglu") if bits == 4 else ("gelu",):
            found = products(bits, group, dtype, size, capability, 20, after)
            check(found, capability, tmp_path, {"tile_product"})


@pytest.mark.parametrize("capability", SHARED)
def test_shared_columns_and_unpacking(capability: int, tmp_path: Any) -> None:
    found = products(8, 0, torch.float16, 1, capability, 2000, after="swiglu")  # two steps per row
    check(found, capability, tmp_path, {"vector_product", "finish"})
    for bits, group in [(4, 128), (8, 0)]:
        found = products(bits, group, torch.float16, 1000, capability, 80, after=None)
        check(found[:1], capability, tmp_path, {"unpack"})


@pytest.mark.parametrize("capability", SHARED)
def test_steps(capability: int, tmp_path: Any) -> None:
    dtype = torch.float16 if capability == 75 else torch.bfloat16
    norm, x = nn.LayerNorm(COLUMNS).to(dtype), torch.empty(1, 1, COLUMNS, dtype=dtype)
    found = launches_of(lambda: fused.launch_add_norm(x, x, 7.5, norm), steps)
    check(found, capability, tmp_path, {"add_norm"})
    rms = nn.RMSNorm(COLUMNS, eps=1e-5).to(dtype)
    check(launches_of(lambda: fused.launch_add_rms_norm(x, x, rms), steps), capability, tmp_path, {"add_rms_norm"})
    qkv, turn = torch.empty(1, 1, 32, 384, dtype=dtype), torch.empty(1, 1, 1, 4, 64, dtype=dtype)
    heads, pairs = torch.empty(1, 1, 36, 128, dtype=dtype), torch.empty(1, 1, 1, 128, dtype=dtype)
    place = torch.zeros(1, 1, dtype=torch.long)
    for kinds in ([(128, dtype)], [(128, torch.int8), (1, dtype)]):
        held = [torch.empty(1, 32, 64, width, dtype=kind) for width, kind in 2 * kinds]
        run = lambda held=held: fused.launch_rotate(qkv, (turn, turn), held, place)  # noqa: E731
        check(launches_of(run, steps), capability, tmp_path, {"rotate"})
        shared = [x[:, :2] for x in held]
        run = lambda held=shared: fused.launch_rotate_pairs(heads, 2, (pairs, pairs), held, place)  # noqa: E731
        check(launches_of(run, steps), capability, tmp_path, {"rotate_pairs"})


@pytest.mark.parametrize("capability", [capability for capability in SHARED if capability >= 80])
@pytest.mark.parametrize("processors", [1, 132])
def test_attention(capability: int, processors: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "card", lambda _: (divmod(capability, 10), processors))
    q, places = torch.empty(1, 32, 1, 128, dtype=torch.bfloat16), torch.zeros(1, 1, dtype=torch.long)
    plain = torch.empty(1, 2, 8192, 128, dtype=torch.bfloat16), None
    for held in (plain, (torch.empty(1, 2, 8192, 128, dtype=torch.int8), plain[0][..., :1])):
        found = launches_of(lambda held=held: fused.launch_attention(q, held, held, places), attention)
        check(found, capability, tmp_path, {"attention", "finish"} if processors > 1 else {"attention"})


@pytest.mark.parametrize("format", [Int8(), Int4(128), Int4(None)], ids=lambda format: format.name)
def test_cuda_tries_triton_first(format: WeightFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastglm.kernels.select.first_that_works", lambda format, kernels, *_: kernels)
    first, slower = kernel_for(format, torch.device("cuda"), torch.float16)  # type: ignore[misc]
    assert isinstance(first, TritonKernel)
    assert not isinstance(slower, TritonKernel)
    (only,) = kernel_for(format, torch.device("mps"), torch.float16)  # type: ignore[misc]
    assert type(only) is type(slower)


def test_bf16_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "7.5: use float16" in str(refusal((7, 5), torch.bfloat16))
    assert refusal((7, 5), torch.float16) is refusal((8, 0), torch.bfloat16) is None
    assert "need compute capability 7.5" in str(refusal((7, 0), torch.float16))
    assert "not float32" in str(refusal((9, 0), torch.float32))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    for format, bits in ((Int8(), 8), (Int4(128), 4)):
        kernel = TritonKernel(format, bits, getattr(format, "group", None))
        held = kernel.prepare(format.pack(torch.randn(8, 128)), 8, 128)
        with pytest.raises(RuntimeError, match=r"bfloat16 needs compute capability 8\.0"):
            kernel.multiply(torch.randn(1, 128, dtype=torch.bfloat16), held, 8, 128)


@pytest.mark.parametrize(
    ("capability", "size", "kernel"),
    [((9, 0), 1, "vector"), ((8, 6), 2, "tile"), ((8, 0), 256, "tile"), ((9, 0), 257, "library"),
     ((7, 5), 4, "vector"), ((7, 5), 5, "library")],
)  # fmt: skip
def test_the_way_follows_from_card_and_rows(capability: tuple[int, int], size: int, kernel: str) -> None:
    matrix = SimpleNamespace(rows=4096, units=128, bits=4, group=128)
    assert launch.choose(matrix, size, capability, 132).kernel == kernel


def test_few_rows_are_shared_so_that_the_card_is_full() -> None:
    matrix = SimpleNamespace(rows=320, units=512, bits=4, group=128)
    way = launch.vector(matrix, 1, 132)
    assert (way.warps, way.parts) == (4, 3)  # 80 programs of 4 rows, 4 steps of 128 units
    assert launch.vector(SimpleNamespace(rows=4096, units=512, bits=4, group=128), 1, 132).parts == 1
    assert launch.vector(SimpleNamespace(rows=320, units=10, bits=4, group=32), 1, 132).warps == 1
