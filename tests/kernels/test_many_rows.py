"""Products of many rows on the CPU: each way against float64, with memory poisoned before it is written."""

import pytest
import torch
from torch.utils import deterministic

from fastglm.kernels import FORMATS, Int4, Int8, get_format
from fastglm.kernels.cpu.int4 import CpuInt4Kernel
from fastglm.kernels.dynamic import Int8Activations, saturates
from fastglm.kernels.int4 import split
from fastglm.kernels.int8 import CpuInt8Kernel
from fastglm.kernels.linear import QuantizedLinear

CPU = torch.device("cpu")
WAYS = {"operator": 5e-3, "unpacked": 1e-5, "dynamic": 2.5e-2}  # relative errors: activations in bf16, fp32, 7 bits


def random(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def poisoned(monkeypatch):
    """What `torch.empty` gives is NaN, or the largest integer."""
    monkeypatch.setattr(deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format", [*FORMATS.values(), Int8(torch.float16), Int4(None)], ids=lambda format: format.name)
@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 64, 128), (7, 130, 96), (40, 70, 512), (64, 1100, 1024)])
def test_every_way_agrees_with_float64(way, format, n, rows, columns):
    assert torch.isnan(torch.empty(3)).all()
    parts, x = format.pack(random(rows, columns)), random(n, columns, seed=1)
    kernel = format.kernel(CPU, torch.float32)
    product = kernel.ways()[way](x, kernel.hold(parts, rows, columns), rows, columns)
    exact = x.double() @ format.unpack(parts, columns).double().T
    bound = max(WAYS[way], 4e-3 if format.name == "int4-published" else 0)  # its fp16 scales are rounded to bf16
    assert (product - exact).norm() < bound * exact.norm()


def test_activations_are_rounded_row_by_row():
    x = random(5, 100) * torch.tensor([1e-6, 1.0, 1e6, 0.0, 3.0])[:, None]
    x8, numbers = Int8Activations(x, 63), torch.randint(0, 256, (70, 100), dtype=torch.uint8)
    rounded = (x / x8.scale[:, None]).round().clamp(-63, 63).double() * x8.scale[:, None].double()
    exact = (numbers.double() - 128) @ rounded.T
    torch.testing.assert_close(x8.times(numbers, 128).double(), exact, rtol=1e-5, atol=1e-9)
    assert (rounded - x).norm(dim=1).le(0.5 * x8.scale * 10).all()


def test_the_largest_sums_do_not_overflow():
    x = torch.ones(20, 256)
    for format, limit in ((Int8(), 1e-2), (Int4(128), 1e-2)):
        weight = torch.ones(64, 256)
        weight[:, 0] = -1  # so that the range of int4 is not one number
        parts = format.pack(weight)
        kernel = format.kernel(CPU, torch.float32)
        product = kernel.ways()["dynamic"](x, kernel.hold(parts, 64, 256), 64, 256)
        exact = x @ format.unpack(parts, 256).T
        assert (product - exact).norm() < limit * exact.norm()


def test_overflow_is_found_where_it_is(monkeypatch):
    saturates.cache_clear()
    monkeypatch.setattr(Int8Activations, "times", lambda *_: torch.full((16, 16), 32767.0))
    assert saturates()
    saturates.cache_clear()
    monkeypatch.setattr(Int8Activations, "times", lambda *_: torch.full((16, 16), 255.0 * 64))
    assert not saturates()
    saturates.cache_clear()


def test_with_vnni_all_eight_bits_are_used(monkeypatch):
    """Where sums do not overflow; `times` is replaced by an exact product, as this machine may overflow."""

    def times(self, numbers, zero):
        return (numbers.float() - zero) @ self.rounded.T

    class Exact(Int8Activations):
        def __init__(self, x, limit):
            super().__init__(x, limit)
            self.rounded = (x / self.scale[:, None]).round() * self.scale[:, None]

    x = random(16, 256, seed=1)
    monkeypatch.setattr(Exact, "times", times)
    for format, module in ((Int8(), "int8"), (Int4(64), "cpu.int4")):
        parts = format.pack(random(64, 256))
        kernel = format.kernel(CPU, torch.float32)
        held = kernel.hold(parts, 64, 256)
        exact = x @ format.unpack(parts, 256).T
        monkeypatch.setattr(f"fastglm.kernels.{module}.Int8Activations", Exact)
        errors = []
        for overflow in (True, False):
            monkeypatch.setattr(f"fastglm.kernels.{module}.saturates", lambda overflow=overflow: overflow)
            errors.append((kernel.ways()["dynamic"](x, held, 64, 256) - exact).norm() / exact.norm())
        assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("size", [16, 32, 64])
def test_rows_packed_in_another_order(size):
    format, rows, columns = Int4(32), 128, 64
    parts, kernel = format.pack(random(rows, columns)), CpuInt4Kernel(Int4(32))
    order = torch.randperm(size, generator=torch.Generator().manual_seed(2))
    kernel.order, kernel.place = order, order.argsort()
    nibbles = (split(parts["weight"]) + 8).unflatten(0, (-1, size))[:, order].transpose(1, 2).to(torch.uint8)
    packed = nibbles[..., : size // 2] | nibbles[..., size // 2 :] << 4
    held = packed.reshape(rows, columns // 2), format.scales_and_zeros(parts, rows, columns)
    x, dense = random(20, columns, seed=1), format.unpack(parts, columns)
    for way in ("unpacked", "dynamic"):
        product, exact = kernel.ways()[way](x, held, rows, columns), x @ dense.T
        assert (product - exact).norm() < WAYS[way] * exact.norm()
    torch.testing.assert_close(kernel.gather(torch.tensor([5, 100]), held, rows, columns), dense[[5, 100]])
    assert torch.equal(kernel.restore(held, rows, columns)["weight"], parts["weight"])


@pytest.mark.parametrize("kind", [CpuInt8Kernel, CpuInt4Kernel])
def test_broken_numbers_stay_visible(kind):
    format = Int8() if kind is CpuInt8Kernel else Int4(128)
    kernel, x = kind(format), random(20, 128)
    x[3, 7] = float("nan")
    held = kernel.hold(format.pack(random(64, 128)), 64, 128)
    for way in kernel.ways().values():
        product = way(x, held, 64, 128)
        assert product[3].isnan().all()
        assert product[[0, 1, 2, 4]].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["int8", "int4-g128"])
def test_a_layer_keeps_the_dtype_of_its_activations(name, dtype):
    layer = QuantizedLinear(get_format(name), 256, 96, bias=True).to(dtype)
    layer.set_parts(layer.format.pack(random(96, 256)))
    layer.exact = False
    for n in (1, 33, 300):
        x = random(n, 256, seed=1).to(dtype)
        product = layer(x)
        exact = x.double() @ layer.format.unpack(layer.parts(), 256).double().T
        assert product.dtype == dtype
        assert (product - exact).norm() < 3e-2 * exact.norm()
        assert layer._kernel.multiply(x, layer._held, 96, 256).dtype.itemsize <= dtype.itemsize
