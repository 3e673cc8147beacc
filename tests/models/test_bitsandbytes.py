"""bitsandbytes through the loader: the same layers as in transformers, with the loader's checks and counts."""

import pytest
import torch
from recorded import CASE_IDS, folder
from transformers import AutoModel, BitsAndBytesConfig

import fastglm
from fastglm.errors import MemoryShortError, UsageError
from fastglm.models.loading import weights_memory
from fastglm.models.source import find_source
from fastglm.system.devices import DeviceCard
from fastglm.variants import offers as offered
from fastglm.variants import variants

functional = pytest.importorskip("bitsandbytes.functional")

GOLDEN = str(folder("chatglm"))
FORMS = {
    "bnb-int8": {"load_in_8bit": True},
    "bnb-nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32},
}
# Weights of one of the three layers, [outputs, inputs] each, and the numbers of the whole model.
LINEAR = ((192, 64), (64, 64), (256, 64), (64, 256))
ALL = 248384


@torch.inference_mode()
def logits(model, ids=CASE_IDS):
    return model(torch.tensor([ids])).logits[0].float()


@pytest.mark.parametrize("variant", FORMS)
def test_the_layers_give_the_logits_of_transformers_own(variant):
    config = BitsAndBytesConfig(**FORMS[variant])
    theirs = AutoModel.from_pretrained(GOLDEN, quantization_config=config, device_map="cpu", dtype=torch.float32)
    ours, _ = fastglm.load(GOLDEN, variant, "cpu")
    assert torch.equal(logits(ours), logits(theirs))
    assert ours.is_quantized
    assert type(ours.lm_head) is torch.nn.Linear


@pytest.mark.parametrize("variant", FORMS)
def test_memory_is_counted_with_the_scales(variant):
    numbers = sum(rows * columns for rows, columns in LINEAR)
    packed = {
        "bnb-int8": 3 * sum(rows * columns + 4 * rows for rows, columns in LINEAR),
        "bnb-nf4": 3 * (numbers // 2 + 4 * numbers // 64 + 4 * 16 * len(LINEAR)),
    }[variant]
    seen = []
    model, tokenizer = fastglm.load(GOLDEN, variant, "cpu", progress=seen.append)
    info = model.fastglm
    assert (info.variant, info.engine, info.device, info.dtype) == (variant, "eager", "cpu", "float32")
    assert info.parameters == ALL
    assert info.weights_memory == 4 * (ALL - 3 * numbers) + packed
    assert info.folder == GOLDEN
    assert info.notes == [variants.BITSANDBYTES_ON_CPU]
    assert seen[-1].fraction == 1
    pieces = list(fastglm.stream(model, tokenizer, "你好", max_new_tokens=4, do_sample=False, ignore_eos=True))
    assert len(pieces) == 4
    # The scales move when a layer is used, and where bitsandbytes has kernels for the processor they become bf16.
    narrowed = variant == "bnb-nf4" and functional.has_avx512bf16()
    assert weights_memory(model) == info.weights_memory - (2 * 3 * numbers // 64 if narrowed else 0)


def test_the_demo_model_keeps_its_answer():
    """The measured KL is 0.0004 and 0.012 nats per token."""
    model, tokenizer = fastglm.load("demo", "original", "cpu")
    *_, last = fastglm.stream(model, tokenizer, "你好", max_new_tokens=32, do_sample=False)
    answer = tokenizer.encode(last.text, add_special_tokens=False)
    ids = tokenizer("你好")["input_ids"] + answer
    original = logits(model, ids).log_softmax(-1)[-len(answer) - 1 :]
    for variant, most in (("bnb-int8", 0.002), ("bnb-nf4", 0.1)):
        found = logits(fastglm.load("demo", variant, "cpu")[0], ids).log_softmax(-1)[-len(answer) - 1 :]
        assert torch.equal(found.argmax(-1), original.argmax(-1))
        assert 0 < (original.exp() * (original - found)).sum(-1).mean() < most


def test_memory_is_checked_before_loading(monkeypatch):
    monkeypatch.setattr("fastglm.models.loading.free_memory", lambda _: 1000)
    with pytest.raises(MemoryShortError, match="as bnb-nf4 needs"):
        fastglm.load(GOLDEN, "bnb-nf4", "cpu")


def test_a_quantised_checkpoint_is_refused():
    with pytest.raises(UsageError, match="quantised already, so that it has no bnb-int8"):
        fastglm.load(str(folder("chatglm-int8")), "bnb-int8", "cpu")


def test_devices_that_cannot_run_it_are_named(monkeypatch):
    def offers(kind):
        card = DeviceCard(kind=kind, name="x", memory_total=1, memory_free=1, cores=1, threads=1)
        return {offer.name: offer for offer in offered.offers(card, find_source("demo"))}

    assert offers("cuda")["bnb-nf4"].reason is offers("cuda")["bnb-nf4"].note is None
    assert offers("cpu")["bnb-nf4"].note == variants.BITSANDBYTES_ON_CPU
    assert "CUDA and on CPUs only" in offers("mps")["bnb-int8"].reason
    monkeypatch.setattr(variants, "find_spec", lambda name: None)
    assert offers("cuda")["bnb-int8"].reason == "needs bitsandbytes: pip install 'fastglm[bitsandbytes]'"
    with pytest.raises(UsageError, match=r"bnb-int8 needs bitsandbytes: pip install 'fastglm\[bitsandbytes\]'\.$"):
        fastglm.load(GOLDEN, "bnb-int8", "cpu")


def test_a_package_that_does_not_work_is_named(monkeypatch):
    def broken(*_, **__):
        raise ImportError("Using `bitsandbytes` requires accelerate: `pip install accelerate`\nand more")

    monkeypatch.setattr("transformers.quantizers.quantizer_bnb_8bit.Bnb8BitHfQuantizer.validate_environment", broken)
    with pytest.raises(UsageError, match=r"bitsandbytes cannot be used here \(Using .* accelerate`\)\.$"):
        fastglm.load(GOLDEN, "bnb-int8", "cpu")
