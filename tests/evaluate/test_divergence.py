"""Divergence from the original over the whole vocabulary, equal to a plain computation in fp64."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recorded import folder

import fastglm
from fastglm.errors import UsageError
from fastglm.evaluate import divergence as module
from fastglm.evaluate import likelihood
from fastglm.evaluate.arithmetic import Arithmetic
from fastglm.evaluate.divergence import Divergence, divergence
from fastglm.evaluate.reference_file import rounded
from fastglm.kernels.exact import exact_arithmetic
from fastglm.models import head as heads
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.head import FinalStates, Head
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.packing import Batch, encode, pack
from fastglm.models.source import demo_folder
from fastglm.text_files import Text

TEXTS = [
    Text([], "你好！", "你好！有什么想问的吗？"),
    Text([("12+30=?", "12+30=42。")], "再加7呢？", "42+7=49。"),
    Text([], "What is the capital of France?", "The capital of France is Paris."),
    Text([], "写一个你没有学过的句子", "zygote quixotic 鼯鼠 vexing fjord!"),  # texts that the demo is unsure of
]
Pair = tuple[FinalStates, Head]


def packed(model: Any, tokenizer: Any) -> list[Batch]:
    """A round per batch; the last has a single token: an empty answer's end."""
    texts = [*TEXTS, Text([], "你好！", "")]
    return [pack([encode(tokenizer, text.messages, text.answer, 200)], 100, model.config) for text in texts]


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    return packed(*fastglm.load("demo"))


def finals(batches: list[Batch], place: Path | None = None) -> Pair:
    model = LayerwiseModel(Checkpoint(place or demo_folder()), torch.device("cpu"), torch.float32)
    return model.finals(batches), model.head


@pytest.fixture(scope="module")
def original(batches: list[Batch]) -> Pair:
    return finals(batches)


@torch.inference_mode()
def full(model: Any, batches: list[Batch]) -> torch.Tensor:
    """Logarithms of all probabilities, in fp64."""
    found = []
    for batch in batches:
        hidden = model.transformer(batch.input_ids, batch.position_ids, batch.attention_mask).last_hidden_state
        found.append(model.lm_head(hidden.flatten(0, 1)[batch.predicting]).double().log_softmax(-1))
    return torch.cat(found)


def check(found: Divergence, p: torch.Tensor, q: torch.Tensor) -> None:
    expected = F.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(found.kl.double(), expected, rtol=1e-3, atol=1e-7)
    assert found.kl_divergence == pytest.approx(expected.mean().item(), rel=1e-3, abs=1e-9)
    assert found.top1_agreement == pytest.approx((p.argmax(-1) == q.argmax(-1)).double().mean().item())


@pytest.mark.parametrize("variant", ["int8", "int4"])
def test_divergence_is_the_full_one_of_the_rounded_weights(variant: str, batches: list[Batch], original: Pair) -> None:
    plain, model = fastglm.load("demo")[0], fastglm.load("demo", variant)[0]
    with exact_arithmetic(model):
        q = full(model, batches)
    check(divergence(model, batches, *original), full(plain, batches), q)


def test_in_the_arithmetic_of_decoding_it_is_that_of_the_kernels(batches: list[Batch], original: Pair) -> None:
    plain, model = fastglm.load("demo")[0], fastglm.load("demo", "int8")[0]
    found = divergence(model, batches, *original, Arithmetic.decoding)
    check(found, full(plain, batches), full(model, batches))
    assert found.kl_divergence != divergence(model, batches, *original).kl_divergence


def test_a_head_of_its_own_and_random_weights(tmp_path: Path) -> None:
    """Batches of the tiny recorded checkpoint, whose probabilities are nearly uniform: the best logits say little."""
    source = folder("chatglm")
    plain, tokenizer = fastglm.load(str(source))
    out = fastglm.compress(str(source), "int4-g32", tmp_path / "int4", None, device="cpu")
    model, _ = fastglm.load(str(out), "fast", device="cpu")
    batches = packed(plain, tokenizer)
    with exact_arithmetic(model):
        q = full(model, batches)
    check(divergence(model, batches, *finals(batches, source)), full(plain, batches), q)


def test_parts_of_any_size_give_the_same(batches: list[Batch], original: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = fastglm.load("demo", "int4")
    whole = divergence(model, batches, *original)
    monkeypatch.setattr(likelihood, "TARGETS_AT_ONCE", 3)
    monkeypatch.setattr(module, "PRECISELY_AT_ONCE", 2)
    monkeypatch.setattr(heads, "HEAD_ROWS", 777)
    parts = divergence(model, batches, *original)
    torch.testing.assert_close(parts.kl, whole.kl, rtol=1e-3, atol=1e-6)
    assert torch.equal(parts.agrees, whole.agrees)


def test_a_model_does_not_differ_from_itself(batches: list[Batch], original: Pair) -> None:
    found = divergence(fastglm.load("demo")[0], batches, *original)
    assert found.kl.max() < 1e-9
    assert found.top1_agreement == 1


def test_states_in_fp16_are_enough_and_in_bf16_are_not(batches: list[Batch], original: Pair) -> None:
    def found(variant: str, states: torch.Tensor) -> float:
        finals = FinalStates(states, original[0].best, original[0].losses)
        return divergence(fastglm.load("demo", variant)[0], batches, finals, original[1]).kl_divergence

    states = original[0].states
    assert rounded(states).dtype == torch.float16
    assert found("original", rounded(states)) < 1e-7  # measured: 4e-8
    assert found("original", states.bfloat16()) > 1e-6  # measured: 3e-6
    for variant in ("int8", "int4"):
        assert found(variant, rounded(states)) == pytest.approx(found(variant, states), rel=1e-3)


def test_states_beyond_the_range_of_fp16_stay_in_fp32() -> None:
    assert rounded(torch.tensor([[65504.0, 1e-3]])).dtype == torch.float16
    assert rounded(torch.tensor([[70000.0, 1e-3]])).dtype == torch.float32


def test_the_first_of_equally_likely_tokens_counts(
    batches: list[Batch], original: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = fastglm.load("demo")
    targets = torch.cat([batch.targets for batch in batches])
    monkeypatch.setattr(heads, "HEAD_ROWS", 1000)  # equal ones in different blocks, too
    nothing = torch.zeros(len(targets), model.config.hidden_size)
    tied = original[1].finals(nothing, targets)
    assert torch.equal(tied.best, torch.zeros(len(targets), dtype=torch.int32))
    monkeypatch.setattr(model.lm_head, "forward", lambda states: states.new_zeros(len(states), model.config.vocab_size))
    found = divergence(model, batches, tied, original[1])
    assert found.agrees.all()
    assert found.kl.max() == 0


def test_another_vocabulary_is_refused(batches: list[Batch], original: Pair) -> None:
    model, _ = fastglm.load("demo")
    smaller = Head(Checkpoint(demo_folder()), torch.arange(100))
    with pytest.raises(UsageError, match="not the original's"):
        divergence(model, batches, original[0], smaller)
