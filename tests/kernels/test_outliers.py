"""Activations with channels far larger than the rest: kernels against float64, and the demo model against itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from outliers import add_outliers, divergence, with_outliers
from products import IN_INT16, in_int8, native_kernel, random

import fastglm
from fastglm.compress.calibration import examples
from fastglm.compress.text_source import demo_samples
from fastglm.kernels.cpu import library
from fastglm.kernels.cpu.int4 import CpuInt4Kernel
from fastglm.kernels.cpu.int8 import CpuInt8Kernel
from fastglm.kernels.exact import exact_arithmetic
from fastglm.kernels.formats import FORMATS, Int4, Int8, WeightFormat
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.checkpoint import read_config
from fastglm.models.packing import Batch, pack
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.models.source import demo_folder

SIZES = [1, 50, 200, 1000]  # size of outliers relative to the rest
FORMATS_HERE = [*FORMATS.values(), Int8(torch.float16), Int4(None)]
SHAPES = [(1, 64, 128), (5, 33, 130), (9, 70, 96), (13, 47, 4128), (30, 1100, 514)]
NATIVE = pytest.mark.skipif(not library.written_for(), reason="written for Linux on x86-64 with AVX2")


def activations(n: int, columns: int, size: float) -> torch.Tensor:
    """Activations with outliers in channels that all rows share, two of them neighbours, and in one place of each
    row.
    """
    x = random(n, columns, seed=1)
    x[:, [1, columns // 2, columns // 2 + 1]] *= size
    x[torch.arange(n), 7 * torch.arange(n) % columns] *= size
    return x


def error(found: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> float:
    """The error relative to the norm of the product of the other activations, without outliers."""
    exact = x.double() @ weight.double().T
    assert found.shape == exact.shape
    return float((found - exact).norm() / (x.clamp(-4, 4).double() @ weight.double().T).norm())


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("format", FORMATS_HERE, ids=lambda format: format.name)
@pytest.mark.parametrize(("n", "rows", "columns"), SHAPES)
def test_pytorchs_ways_cost_less_than_rounding_weights(
    format: WeightFormat, n: int, rows: int, columns: int, size: float
) -> None:
    weight, x = random(rows, columns), activations(n, columns, size)
    parts = format.pack(weight)
    kernel = CpuInt4Kernel(format) if isinstance(format, Int4) else CpuInt8Kernel(format)
    held, unpacked = kernel.hold(parts, rows, columns), format.unpack(parts, columns)
    rounding = ((unpacked - weight) @ x.T).norm()
    for name in ("operator", "unpacked"):
        found = kernel.ways()[name](x, held, rows, columns)
        assert (found - x.double() @ unpacked.double().T).norm() < 0.7 * rounding, name


@NATIVE
@pytest.mark.usefixtures("native", "poisoned")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("format", FORMATS_HERE, ids=lambda format: format.name)
@pytest.mark.parametrize(("n", "rows", "columns"), SHAPES)
def test_the_own_kernels_cost_no_more_than_rounding_weights(
    format: WeightFormat, n: int, rows: int, columns: int, size: float
) -> None:
    weight, x = random(rows, columns), activations(n, columns, size)
    parts, kernel = format.pack(weight), native_kernel(format)
    found = kernel.ways()["native"](x, kernel.hold(parts, rows, columns), rows, columns)
    unpacked = format.unpack(parts, columns)
    exact = x.double() @ unpacked.double().T
    rounding = ((unpacked - weight) @ x.T).norm()
    assert (found - exact).norm() < (0.35 if isinstance(format, Int4) else 1.5) * rounding
    if format.name == "int8" and columns > 500:  # with few outliers the rest is as exact as without them
        assert error(found, x, unpacked) < (1e-2 if in_int8(format, n, columns) else size * IN_INT16)


@NATIVE
@pytest.mark.skipif(not library.has_vnni(), reason="without VNNI all activations are rounded to int16")
@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("n", "columns"), [(8, 127), (12, 128), (29, 127), (24, 2048), (29, 2048), (26, 2050), (29, 4128)]
)
def test_outliers_anywhere_are_multiplied_in_fp32(n: int, columns: int) -> None:
    rows = 50
    parts, kernel = Int8().pack(random(rows, columns)), native_kernel(Int8())
    held = kernel.hold(parts, rows, columns)
    x = torch.zeros(n, columns)
    places = torch.randint(0, columns, (n, 3), generator=torch.Generator().manual_seed(2))
    places[0] = torch.tensor([0, columns - 1, columns // 2])  # the first and the last of a block of columns
    x.scatter_(1, places, random(n, 3, seed=3) * torch.tensor([1e-3, 1.0, 1e4]))
    exact = x.double() @ Int8().unpack(parts, columns).double().T
    torch.testing.assert_close(
        kernel.ways()["native"](x, held, rows, columns).double(), exact, rtol=1e-5, atol=1e-6 * float(exact.abs().max())
    )


@NATIVE
@pytest.mark.usefixtures("native")
def test_nothing_and_what_is_hardly_anything_are_no_outliers() -> None:
    parts, kernel = Int8().pack(random(50, 256)), native_kernel(Int8())
    held, weight = kernel.hold(parts, 50, 256), Int8().unpack(parts, 256).double()
    x = random(16, 256, seed=1) * torch.logspace(-30, 15, 16)[:, None]
    x[3] = 0
    exact = x.double() @ weight.T
    found = kernel.ways()["native"](x, held, 50, 256)
    assert found[3].eq(0).all()
    assert ((found - exact).norm(dim=1) <= 1e-2 * exact.norm(dim=1) + 1e-28).all()


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Rounds of the demo's world as teacher-forced prompts, several per row."""
    tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
    config = read_config(demo_folder())
    return pack(examples(tokenizer, demo_samples(40, seed=4), 400), 512, config)


@torch.inference_mode()
def logits(model: ChatGLMForConditionalGeneration, batch: Batch) -> torch.Tensor:
    hidden = model.transformer(batch.input_ids, batch.position_ids, batch.attention_mask).last_hidden_state
    return model.lm_head(hidden.flatten(0, 1)[batch.predicting])


@pytest.fixture(scope="module")
def original(batch: Batch) -> torch.Tensor:
    """Logits of the demo in float64."""
    return logits(ChatGLMForConditionalGeneration.from_pretrained(demo_folder()).double().eval(), batch)


@NATIVE
@pytest.mark.usefixtures("native", "unprepared")
@pytest.mark.parametrize("size", [1, 200, 1000])
def test_outliers_in_a_prompt_cost_what_rounding_the_weights_costs(
    size: float, batch: Batch, original: torch.Tensor, tmp_path: Path
) -> None:
    same = ChatGLMForConditionalGeneration.from_pretrained(demo_folder()).double().eval()
    add_outliers(same, size)
    assert (logits(same, batch) - original).abs().max() < 1e-10
    folder = with_outliers(demo_folder(), size, tmp_path / "demo")
    for variant in ("int8", "int4"):
        model, _ = fastglm.load(str(folder), variant, "cpu")
        with exact_arithmetic(model):
            weight_only = divergence(logits(model, batch), original)
        for kernel in {id(m._kernel): m._kernel for m in model.modules() if hasattr(m, "_kernel")}.values():
            kernel._times, kernel._fastest = {"native": [1.0] * 5}, {}
        # Without outliers the weights' own divergence is tiny: 3e-6 nats.
        assert divergence(logits(model, batch), original) < 1.5 * weight_only + 1e-5, variant


@NATIVE
@pytest.mark.skipif(not library.has_vnni(), reason="all tests run with AVX2 here")
def test_the_same_holds_with_avx2() -> None:
    """Runs in a separate process, for which the kernels are compiled again."""
    this, chosen = Path(__file__), "own_kernels or float64 or sums or hardly or refused or restoring"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-k", chosen, this,
         *(this.with_name(name) for name in ("test_native.py", "test_shared_keys.py"))],
        env={**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
