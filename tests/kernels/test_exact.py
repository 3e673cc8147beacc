"""Exact weight-only arithmetic: of a published quantized `original`, and of any variant inside a block."""

import contextlib
from typing import Any

import pytest
import torch
from recorded import expected, folder, tensors
from transformers import AutoModel

import fastglm
from fastglm.compress.calibration import examples as examples_of
from fastglm.compress.text_source import demo_samples
from fastglm.engine.compile.prepare import Preparation
from fastglm.evaluate.likelihood import answer_loss
from fastglm.kernels.exact import exact_arithmetic, is_exact
from fastglm.kernels.formats import Int4, Int8, WeightFormat
from fastglm.kernels.packed import PackedWeight, QuantizedEmbedding, QuantizedLinear
from fastglm.kernels.reference import ReferenceKernel
from fastglm.models.packing import Example, pack
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.models.source import demo_folder

PUBLISHED = ["chatglm-int8", "chatglm-int4"]
LENGTHS = (2, 3, 7, 8, 9, 15, 16, 17, 31, 40)  # lengths of prompts at which fast kernels change their ways


CLOSE: Any = {"atol": 1e-4, "rtol": 0}


def packed(model: torch.nn.Module) -> list[PackedWeight]:
    return [module for module in model.modules() if isinstance(module, PackedWeight)]


def prompt(length: int) -> list[int]:
    """Token ids of one recorded text, repeated, and the end of every prompt."""
    *text, mask, begin = expected("chatglm")["generate"][1]["input_ids"]
    return [*(10 * text)[: length - 2], mask, begin]


def answered(model: Any, ids: torch.Tensor) -> Any:
    """Six tokens, and the logits of each step, at least in fp32."""
    return model.generate(
        ids, max_new_tokens=6, min_new_tokens=6, do_sample=False, output_logits=True, return_dict_in_generate=True
    )


@pytest.mark.parametrize("compiles", ["0", "1"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_original_of_published_layouts_rounds_nothing(
    name: str, compiles: str, compiling: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTGLM_COMPILE", compiles)
    model, tokenizer = fastglm.load(str(folder(name)), "original", "cpu")
    assert is_exact(model)
    for index, text in enumerate(expected(name)["texts"]):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        torch.testing.assert_close(logits, tensors(name)[f"logits_{index}"], atol=5e-5, rtol=0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_original_agrees_with_float64_for_prompts_of_any_length_and_steps(name: str) -> None:
    model, _ = fastglm.load(str(folder(name)), "original", "cpu")
    exact = AutoModel.from_pretrained(folder(name)).double().eval()
    for length in LENGTHS:
        ids = torch.tensor([prompt(length)])
        found, wanted = answered(model, ids), answered(exact, ids)
        assert found.sequences.tolist() == wanted.sequences.tolist()
        torch.testing.assert_close(torch.cat(found.logits).double(), torch.cat(wanted.logits).double(), **CLOSE)
        with torch.inference_mode():
            torch.testing.assert_close(model(ids).logits.double(), exact(ids).logits, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("format", [Int8(), Int4(32), Int8(torch.float16), Int4(None)], ids=lambda format: format.name)
def test_activations_of_any_dtype_are_multiplied_as_they_are(format: WeightFormat, dtype: torch.dtype) -> None:
    layer = QuantizedLinear(format, 300, 130, bias=False)
    layer.set_parts(format.pack(torch.randn(130, 300, generator=torch.Generator().manual_seed(0))))
    x = torch.randn(3, 40, 300, generator=torch.Generator().manual_seed(1))
    x[..., 7] *= 1000
    x = x.to(dtype)
    wanted = (x.double() @ format.unpack(layer.parts(), 300).double().T).to(dtype)
    atol = 1e-6 * wanted.abs().max().item()
    for was_exact in (True, False):
        layer.exact = was_exact
        layer(x)
        with exact_arithmetic(layer):
            torch.testing.assert_close(layer(x), wanted, rtol=torch.finfo(dtype).eps, atol=atol)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
    return sorted(examples_of(tokenizer, demo_samples(12, seed=4), 400), key=lambda example: -len(example.tokens))


@pytest.fixture
def native(compiling: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of this package, without compiled steps."""
    monkeypatch.setattr("fastglm.variants.load.prepare", lambda *_, **__: Preparation())


@pytest.mark.parametrize("variant", ["int8", "int4"])
@torch.inference_mode()
def test_log_likelihoods_do_not_depend_on_the_batch(variant: str, examples: list[Example], native: None) -> None:
    model, _ = fastglm.load("demo", variant, "cpu")

    def nats(together: list[Example]) -> list[float]:
        batch = pack(together, max(len(example.tokens) for example in together), model.config)
        return torch.zeros(len(together)).index_add(0, batch.example, answer_loss(model, batch)).tolist()

    before = nats(examples)
    with exact_arithmetic(model):
        batched = nats(examples)
        single = [nats([example])[0] for example in examples]
    assert single == pytest.approx(batched, abs=1e-4, rel=0)
    assert nats(examples) == before != batched


def kept(model: torch.nn.Module) -> list[tuple]:
    return [(id(m._kernel), [t.data_ptr() for t in m._held], m.exact, m.memory()) for m in packed(model)]


@pytest.mark.parametrize("variant", ["int8", "int4"])
def test_fast_kernels_and_what_they_hold_are_back_after_the_block(variant: str, native: None) -> None:
    model, _ = fastglm.load(str(folder("chatglm")), variant, "cpu")
    before = kept(model)
    ids = torch.tensor([prompt(20)])
    with torch.inference_mode():
        fast = model(ids).logits
        with contextlib.suppress(KeyboardInterrupt), exact_arithmetic(model):
            assert is_exact(model)
            with exact_arithmetic(model):
                exact = model(ids).logits
            assert torch.equal(model(ids).logits, exact)
            assert [m[1] for m in kept(model)] == [m[1] for m in before]
            raise KeyboardInterrupt
        assert kept(model) == before
        assert torch.equal(model(ids).logits, fast)
    assert not torch.equal(exact, fast)


def test_layers_that_are_first_used_within_the_block_are_fast_behind_it() -> None:
    embedding, linear = QuantizedEmbedding(Int4(32), 100, 64), QuantizedLinear(Int8(), 64, 48, bias=True)
    model = torch.nn.Sequential(embedding, linear)
    for module in packed(model):
        module.set_parts(module.format.pack(torch.randn(module.rows, module.columns)))
        module.exact = False
    with exact_arithmetic(model):
        model(torch.tensor([3, 4]))
        assert {type(module._kernel) for module in packed(model)} == {ReferenceKernel}
    model(torch.tensor([3, 4]))
    assert not any(isinstance(module._kernel, ReferenceKernel) for module in packed(model))


def test_a_model_without_packed_weights_stays_as_it_is() -> None:
    model = torch.nn.Linear(3, 4)
    with exact_arithmetic(model):
        assert not is_exact(model)
