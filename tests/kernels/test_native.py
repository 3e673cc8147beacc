"""This package's CPU kernels against float64, with poisoned memory; and their absence if they cannot be built."""

import pytest
import torch
from products import IN_INT16, in_int8, largest_number, native_int4, native_kernel, random
from recorded import folder
from torch import nn

import fastglm
from fastglm.errors import DeviceError
from fastglm.kernels.attention import attend
from fastglm.kernels.cpu import library
from fastglm.kernels.cpu.dense import FewRowsLinear, use_few_rows_kernel
from fastglm.kernels.cpu.int4 import CpuInt4Kernel
from fastglm.kernels.epilogue import Epilogue
from fastglm.kernels.formats import FORMATS, Int4, Int8
from fastglm.kernels.select import kernel_for

CPU = torch.device("cpu")
SMALL = str(folder("chatglm"))
FORMATS_HERE = [*FORMATS.values(), Int8(torch.float16), Int4(None), Int4(256)]
SHAPES = [(1, 64, 128), (2, 130, 96), (3, 33, 2), (4, 70, 512), (9, 1100, 1024), (41, 31, 4128)]
IN_INT8 = 1e-2  # relative error of activations rounded to int8

pytestmark = pytest.mark.skipif(not library.written_for(), reason="written for Linux on x86-64 with AVX2")


@pytest.fixture
def unbuilt(monkeypatch):
    """A process that has not loaded the kernels."""
    monkeypatch.setenv("FASTGLM_COMPILE", "1")
    monkeypatch.setattr(library, "_loaded", False)


@pytest.mark.usefixtures("native", "poisoned")
@pytest.mark.parametrize("format", FORMATS_HERE, ids=lambda format: format.name)
@pytest.mark.parametrize(("n", "rows", "columns"), SHAPES)
def test_products_agree_with_float64(format, n, rows, columns):
    parts, x = format.pack(random(rows, columns)), random(n, columns, seed=1)
    kernel = native_kernel(format)
    product = kernel.ways()["native"](x, kernel.hold(parts, rows, columns), rows, columns)
    exact = x.double() @ format.unpack(parts, columns).double().T
    assert product.shape == exact.shape
    assert (product - exact).norm() < (IN_INT8 if in_int8(format, n, columns) else IN_INT16) * exact.norm()


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("format", [Int8(), Int4(32), Int4(64), Int4(128), Int4(256)], ids=lambda format: format.name)
@pytest.mark.parametrize("n", [5, 29])  # few rows; and many, for which processors with VNNI have kernels of their own
def test_activations_that_are_whole_numbers_lose_nothing(format, n):
    rows, columns = 50, 1024
    parts = format.pack(random(rows, columns))
    most = largest_number(format, n, columns)
    x = torch.randint(-most, most + 1, (n, columns), generator=torch.Generator().manual_seed(3)).float()
    x[:, ::32] = most
    kernel = native_kernel(format)
    product = kernel.ways()["native"](x, kernel.hold(parts, rows, columns), rows, columns)
    exact = x.double() @ format.unpack(parts, columns).double().T
    torch.testing.assert_close(product.double(), exact, rtol=1e-5, atol=1e-6 * float(exact.abs().max()))


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("format", [Int8(), Int4(32), Int4(64), Int4(128), Int4(256)], ids=lambda format: format.name)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [5, 29])
def test_the_largest_sums_do_not_overflow(format, sign, n):
    weight = torch.ones(8, 16384)
    weight[:, 1::512] = -1
    parts, x, kernel = format.pack(weight), torch.full((n, 16384), 3.0 * sign), native_kernel(format)
    product = kernel.ways()["native"](x, kernel.hold(parts, 8, 16384), 8, 16384)
    exact = x.double() @ format.unpack(parts, 16384).double().T
    torch.testing.assert_close(product.double(), exact, rtol=1e-3, atol=0)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("format", [Int8(), Int4(128)], ids=lambda format: format.name)
@pytest.mark.parametrize("none", [float("nan"), float("inf")])
@pytest.mark.parametrize("n", [6, 29])
def test_broken_activations_stay_visible(format, none, n):
    x, kernel = random(n, 256), native_kernel(format)
    x[3, 7] = none
    product = kernel.ways()["native"](x, kernel.hold(format.pack(random(64, 256)), 64, 256), 64, 256)
    assert not product[3].isfinite().any()
    assert product[[row for row in range(n) if row != 3]].isfinite().all()


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("format", [Int8(), Int4(128), Int4(256)], ids=lambda format: format.name)
@pytest.mark.parametrize("columns", [512, 5120])
def test_a_row_has_the_same_product_beside_others(format, columns):
    parts, x, kernel = format.pack(random(70, columns)), random(16, columns, seed=1), native_kernel(format)
    held, multiply = kernel.hold(parts, 70, columns), kernel.ways()["native"]
    alone = torch.cat([multiply(row[None], held, 70, columns) for row in x])
    few = isinstance(format, Int8) and columns <= 1024  # more rows are rounded otherwise
    for n in range(2, 8 if few else 17):
        assert torch.equal(multiply(x[:n], held, 70, columns), alone[:n]), n


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("columns", [96, 100, 512])
@pytest.mark.parametrize("format", [Int4(32), Int4(128), Int4(None)], ids=lambda format: format.name)
def test_other_ways_rows_and_restoring_on_the_same_layout(format, columns):
    parts, kernel, x = format.pack(random(70, columns)), native_kernel(format), random(20, columns, seed=1)
    held, dense = kernel.hold(parts, 70, columns), format.unpack(parts, columns)
    product = kernel.ways()["unpacked"](x, held, 70, columns)
    assert (product - x @ dense.T).norm() < 4e-3 * (x @ dense.T).norm()
    ids = torch.tensor([5, 69, 5])
    torch.testing.assert_close(kernel.gather(ids, held, 70, columns), dense[ids], rtol=4e-3, atol=1e-3)
    restored = kernel.restore(held, 70, columns)
    assert restored.keys() == parts.keys()
    assert all(torch.equal(restored[name], part) for name, part in parts.items())


@pytest.mark.usefixtures("native", "poisoned")
@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 33, 7), (2, 64, 128), (3, 37, 100), (9, 1100, 513), (16, 3, 8)])
def test_few_rows_of_weights_that_are_not_packed(n, rows, columns):
    linear = nn.Linear(columns, rows).requires_grad_(False)
    use_few_rows_kernel(nn.Sequential(linear))
    x = random(n, columns, seed=1)
    exact = x.double() @ linear.weight.double().T
    assert (torch.ops.fastglm.float_product(x, linear.weight) - exact).norm() < 1e-6 * exact.norm()
    with torch.no_grad():
        torch.testing.assert_close(linear(x[None]).double(), (exact + linear.bias)[None], rtol=1e-5, atol=1e-5)
    x[0, 0] = float("nan")
    assert torch.ops.fastglm.float_product(x, linear.weight)[0].isnan().all()


@pytest.mark.usefixtures("native", "unprepared")
def test_the_baseline_stays_pytorchs():
    assert not any(isinstance(module, FewRowsLinear) for module in fastglm.load(SMALL, "original", "cpu")[0].modules())
    assert any(isinstance(module, FewRowsLinear) for module in fastglm.load(SMALL, "fast", "cpu")[0].modules())


@pytest.mark.usefixtures("native", "unprepared")
def test_native_kernels_are_used_for_packed_weights():
    model, _ = fastglm.load(SMALL, "int4", "cpu")
    kernels = {type(module._kernel) for module in model.modules() if hasattr(module, "_kernel")}
    assert kernels == {native_int4()}
    assert isinstance(kernel_for(Int4(32), CPU, torch.float32), native_int4())


@pytest.mark.usefixtures("unbuilt", "unprepared")
def test_a_warning_names_the_slower_kernels_if_native_ones_cannot_be_built(monkeypatch, caplog, own_home):
    compiler = own_home / "compiler"
    own_home.mkdir(exist_ok=True)
    compiler.write_text("#!/bin/sh\necho 'x.h: fatal error: no such file' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    model, tokenizer = fastglm.load(SMALL, "int4", "cpu")
    said = "The kernels could not be compiled, and PyTorch's slower ones are used: x.h: fatal error: no such file"
    assert caplog.messages == model.fastglm.notes == [said]
    assert {type(module._kernel) for module in model.modules() if hasattr(module, "_kernel")} == {CpuInt4Kernel}
    assert list((own_home / "kernels").iterdir()) == []
    assert len(list(fastglm.stream(model, tokenizer, "你好", max_new_tokens=3, ignore_eos=True))) == 3


@pytest.mark.usefixtures("unbuilt")
def test_a_file_that_cannot_be_loaded_is_not_ready():
    library._path().parent.mkdir(parents=True)
    library._path().write_bytes(b"no library")
    assert not library.ready()


@pytest.mark.usefixtures("native")
def test_another_home_gets_a_file_of_its_own(monkeypatch, own_home):
    monkeypatch.setenv("FASTGLM_HOME", str(own_home))
    made = []
    monkeypatch.setattr(library, "_compile", lambda compiler, path: made.append(path))
    library.build(lambda: None)
    assert made == [library._path()]
    assert made[0].is_relative_to(own_home)


@pytest.mark.usefixtures("unbuilt")
def test_a_broken_file_is_compiled_again(monkeypatch):
    library._path().parent.mkdir(parents=True)
    library._path().write_bytes(b"no library")
    begun = []
    monkeypatch.setattr(library, "_compile", lambda compiler, path: begun.append(path))
    with pytest.raises(DeviceError, match="cannot be loaded"):
        library.build(lambda: begun.append("said"))
    assert begun == ["said", library._path()]


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("place", [-1, 16])
def test_a_place_outside_the_cache_is_refused(place):
    given = operands("attention")
    given["places"][1, 2] = place
    with pytest.raises(RuntimeError, match="outside the cache"):
        torch.ops.fastglm.float_attention(**given)


def test_the_compiler_is_told_of_instructions_that_are_there(monkeypatch):
    monkeypatch.setattr(library, "has_vnni", library.has_vnni.__wrapped__)  # otherwise asked only once
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    told = {}
    for capability in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        told[capability] = library.flags()
    assert "-mavx512vnni" in told["AVX512"]
    assert "-mavx512vnni" not in told["AVX2"]
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert library.flags() == told["AVX2"]


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("rows", [8, 133])
@torch.no_grad()
def test_bias_and_gelu_in_one_pass_agree_with_float64(rows):
    bias, product = 3 * random(1, rows)[0], 5 * random(40, rows)
    product[0, 0] = torch.nan
    exact = torch.nn.functional.gelu(product.double() + bias.double(), approximate="tanh")
    found = Epilogue(bias, gelu=True).apply(product, torch.float32, over=True)
    assert found.data_ptr() == product.data_ptr()
    assert found[0, 0].isnan()
    assert (found - exact).flatten()[1:].norm() < 1e-6 * exact.flatten()[1:].norm()


@pytest.mark.usefixtures("native", "poisoned")
@pytest.mark.parametrize("inner", [8, 133])
@torch.no_grad()
def test_swiglu_in_one_pass_agrees_with_float64(inner):
    product = 5 * random(40, 2 * inner).view(2, 20, -1)
    product[0, 0, :2] = torch.tensor([torch.nan, -200.0])
    gate, scaled = product.double().chunk(2, -1)
    exact = torch.nn.functional.silu(gate) * scaled
    found = Epilogue(swiglu=True).apply(product, torch.float32)
    assert torch.equal(found[1], torch.ops.fastglm.swiglu(product)[1])
    assert found[0, 0, 0].isnan()
    assert (found - exact).flatten()[1:].norm() < 1e-6 * exact.flatten()[1:].norm()
    residual = random(40, inner).view(found.shape)
    torch.testing.assert_close(
        Epilogue(swiglu=True, residual=residual, scale=2).apply(product, torch.float32)[1], found[1] + 2 * residual[1]
    )


@pytest.mark.usefixtures("native")
def test_swiglu_refuses_what_lies_otherwise_and_gives_gradients():
    for x in (random(4, 7), random(4, 8).t(), random(4, 8)[:, :6], torch.tensor(1.0)):
        with pytest.raises(RuntimeError, match="laid out"):
            torch.ops.fastglm.swiglu(x)
    x = random(4, 8).requires_grad_()
    Epilogue(swiglu=True).apply(x, torch.float32).sum().backward()
    assert x.grad is not None


@torch.no_grad()
def test_an_epilogue_writes_over_the_product_only_where_allowed():
    bias, residual, product = random(1, 8)[0], random(5, 8), random(5, 8)
    after = Epilogue(bias, gelu=True, residual=residual, scale=3)
    before = product.clone()
    found = after.apply(product, torch.float32)
    assert torch.equal(product, before)
    assert torch.allclose(after.apply(product, torch.float32, over=True), found, atol=1e-5)


@pytest.mark.usefixtures("native")
def test_attention_takes_a_mask_of_numbers_and_gives_gradients():
    q, k, v = (random(5, 64, seed=seed).view(1, 5, 4, 16).transpose(1, 2) for seed in range(3))
    mask = torch.full((5, 5), -torch.inf).triu(1)[None, None]
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert torch.allclose(attend(q, k, v, mask), wanted, atol=1e-6)
    q = q.contiguous().requires_grad_()
    attend(q, k.contiguous(), v.contiguous(), mask).sum().backward()
    assert q.grad is not None


def operands(name):
    """Valid operands of an operator of the package."""
    if name == "attention":
        q, k = random(2 * 3 * 4, 8).view(2, 3, 4, 8), random(2 * 3 * 16, 8).view(2, 3, 16, 8)
        return {"q": q, "keys": k, "values": k.clone(), "places": torch.arange(8).view(2, 4)}
    if name == "int8_attention":
        q, k = random(2 * 3 * 4, 8).view(2, 3, 4, 8), torch.ones(2, 3, 16, 8, dtype=torch.int8)
        scale, places = torch.ones(2, 3, 16, 1), torch.arange(8).view(2, 4)
        scaled = {"keys": k, "key_scale": scale, "values": k.clone(), "value_scale": scale.clone()}
        return {"q": q, **scaled, "places": places}
    x = random(3, 128)
    if name == "int4_product":
        held = native_kernel(Int4(32)).hold(Int4(32).pack(random(6, 128)), 6, 128)
        return {"x": x, "weight": held[0], "scale": held[1], "zero": held[2], "group": 32}
    if name == "int8_product":
        held = native_kernel(Int8()).hold(Int8().pack(random(6, 128)), 6, 128)
        return {"x": x, "weight": held[0], "scale": held[-1]}
    if name == "float_product":
        return {"x": x, "weight": random(6, 128)}
    return {"x": x, "bias": random(1, 128)[0]}


NARROWER = {
    "attention": "keys 013, values 013, q 0123, places 01",
    "int8_attention": "keys 1, key_scale 012, value_scale 12",
    "int4_product": "weight 10, scale 01, zero 01",
    "int8_product": "weight 10, scale 0",
    "float_product": "weight 1, x 1",
    "bias_gelu_": "x 1, bias 0",
}


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("name", NARROWER)
def test_operands_of_other_sizes_are_refused(name):
    """Otherwise the kernel would read foreign memory."""
    operator = getattr(torch.ops.fastglm, "float_attention" if name == "attention" else name)
    for which, places in (each.split() for each in NARROWER[name].split(", ")):
        for place in map(int, places):
            given = operands(name)
            operator(**given)
            size = given[which].shape[place]
            kept = 8 if size == 16 else size // 2
            for changed in (given[which].narrow(place, 0, kept).contiguous(), given[which][None]):
                with pytest.raises(RuntimeError, match=r"laid out|matri|four dimensions|no multiple"):
                    operator(**given | {which: changed})


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("name", NARROWER)
def test_operands_that_lie_otherwise_are_refused(name):
    operator = getattr(torch.ops.fastglm, "float_attention" if name == "attention" else name)
    given = operands(name)
    for which, tensor in given.items():
        if isinstance(tensor, torch.Tensor) and (tensor.ndim > 1 or name != "bias_gelu_"):
            spread = torch.cat([tensor[..., None]] * 2, -1)[..., 0]
            with pytest.raises(RuntimeError, match="laid out"):
                operator(**given | {which: spread})
