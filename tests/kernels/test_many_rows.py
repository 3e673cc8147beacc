"""Products of many rows on the CPU: each way against float64, with memory poisoned before it is written."""

import pytest
import torch
from products import random

from fastglm.kernels.cpu.int4 import CpuInt4Kernel
from fastglm.kernels.cpu.int8 import CpuInt8Kernel
from fastglm.kernels.formats import FORMATS, Int4, Int8, get_format
from fastglm.kernels.int4 import split
from fastglm.kernels.packed import QuantizedLinear
from fastglm.kernels.select import kernel_for

CPU = torch.device("cpu")
WAYS = {"operator": 5e-3, "unpacked": 1e-5}  # relative errors: activations in bf16, fp32


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format", [*FORMATS.values(), Int8(torch.float16), Int4(None)], ids=lambda format: format.name)
@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 64, 128), (7, 130, 96), (40, 70, 512), (64, 1100, 1024)])
def test_every_way_agrees_with_float64(way, format, n, rows, columns):
    assert torch.isnan(torch.empty(3)).all()
    parts, x = format.pack(random(rows, columns)), random(n, columns, seed=1)
    kernel = kernel_for(format, CPU, torch.float32)
    product = kernel.ways()[way](x, kernel.hold(parts, rows, columns), rows, columns)
    exact = x.double() @ format.unpack(parts, columns).double().T
    bound = max(WAYS[way], 4e-3 if format.name == "int4-published" else 0)  # its fp16 scales are rounded to bf16
    assert (product - exact).norm() < bound * exact.norm()


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
    product, exact = kernel.ways()["unpacked"](x, held, rows, columns), x @ dense.T
    assert (product - exact).norm() < WAYS["unpacked"] * exact.norm()
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
