"""The kernel for CUDA and MPS with fakes of PyTorch's two operators, which no CPU has.

The fakes follow the operators' contract: packing takes two columns per byte, the even one in the high nibble, as 0 …
15; the product is with (number - 8) · scale + zero, in bf16.
"""

import pytest
import torch

from fastglm.kernels.formats import Int4
from fastglm.kernels.probe import first_that_works
from fastglm.kernels.reference import ReferenceKernel
from fastglm.kernels.weight_only import TiledInt4Kernel


def convert(weight, tiles):
    assert weight.dtype == torch.uint8
    assert weight.shape[0] % 8 == 0
    assert weight.shape[1] * 2 % (tiles * 16) == 0
    return weight.flip(0).clone()  # any order of its own


def product(x, packed, group, scales):
    weight = packed.flip(0)
    numbers = torch.stack((weight >> 4, weight & 15), 2).flatten(1).float() - 8
    scale, zero = (scales[:, :, i].t().float().repeat_interleave(group, 1) for i in (0, 1))
    assert x.dtype == scales.dtype == torch.bfloat16
    return (x.float() @ (numbers * scale + zero).T).bfloat16()


@pytest.fixture(autouse=True)
def operators(monkeypatch):
    monkeypatch.setattr(torch, "_convert_weight_to_int4pack", convert)
    monkeypatch.setattr(torch, "_weight_int4pack_mm", product)


@pytest.mark.parametrize("format", [Int4(32), Int4(128), Int4(None)], ids=lambda format: format.name)
@pytest.mark.parametrize(("rows", "columns"), [(48, 256), (50, 200), (7, 64)])
def test_tiles_multiply_and_restore(format, rows, columns):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    parts, kernel = format.pack(weight), TiledInt4Kernel(format)
    held = kernel.prepare(parts, rows, columns)
    x = torch.randn(3, columns, generator=torch.Generator().manual_seed(1))
    exact = x @ format.unpack(parts, columns).T
    assert (kernel.multiply(x, held, rows, columns).float() - exact).norm() < 2e-2 * exact.norm()
    restored = kernel.restore(held, rows, columns)
    assert restored.keys() == parts.keys()
    assert all(torch.equal(restored[name], parts[name]) for name in parts)


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [(lambda *_: product(*_) * 2, "wrong for 1 rows"), (lambda *_: 1 / 0, "ZeroDivisionError: division by zero")],
)
def test_a_kernel_that_fails_or_is_wrong_is_not_used(breaks, reason, monkeypatch, caplog):
    format = Int4(64)
    kernels = [TiledInt4Kernel(format), ReferenceKernel(format)]
    asked = format, kernels, torch.device("cpu"), torch.bfloat16
    monkeypatch.setattr("fastglm.kernels.probe._found", {})
    assert first_that_works(*asked) is kernels[0]
    assert not caplog.text
    monkeypatch.setattr("fastglm.kernels.probe._found", {})
    monkeypatch.setattr(torch, "_weight_int4pack_mm", breaks)
    assert first_that_works(*asked) is first_that_works(*asked) is kernels[1]
    said = f"int4-g64 on cpu uses the slower ReferenceKernel (TiledInt4Kernel: {reason})."
    assert [record.getMessage() for record in caplog.records] == [said]  # once
    monkeypatch.setattr("fastglm.kernels.probe._found", {})
    assert first_that_works(format, kernels[:1], *asked[2:]) is None
    assert "uses the slower reference path" in caplog.text
