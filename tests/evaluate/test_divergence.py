"""Divergence from the original: none from itself, the full one where all tokens are known, never more than that."""

import pytest
import torch
import torch.nn.functional as F

import fastglm
from fastglm.errors import UsageError
from fastglm.evaluate.divergence import divergence
from fastglm.evaluate.streamed import BestLogits, StreamedModel
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.packing import Batch, encode, pack
from fastglm.models.source import demo_folder

ROUNDS = [
    ([], "你好！", "你好！有什么想问的吗？"),
    ([("12+30=?", "12+30=42。")], "再加7呢？", "42+7=49。"),
    ([], "What is the capital of France?", "The capital of France is Paris."),
]


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    model, tokenizer = fastglm.load("demo")
    return [pack([encode(tokenizer, *round_, 200)], 100, model.config.pad_token_id) for round_ in ROUNDS]


def original(batches: list[Batch], best: int) -> list[BestLogits]:
    return StreamedModel(Checkpoint(demo_folder()), torch.device("cpu"), torch.float32).best_logits(batches, best)


def full(model, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        hidden = model.transformer(batch.input_ids, batch.position_ids, batch.attention_mask).last_hidden_state
        return model.lm_head(hidden.flatten(0, 1)[batch.predicting]).double().log_softmax(-1)


def test_a_model_does_not_differ_from_itself(batches: list[Batch]) -> None:
    found = divergence(fastglm.load("demo")[0], batches, original(batches, 64))
    assert found.kl.abs().max() < 1e-5
    assert found.top1_agreement == 1


def test_with_the_whole_vocabulary_it_is_the_full_divergence(batches: list[Batch]) -> None:
    plain, int4 = fastglm.load("demo")[0], fastglm.load("demo", "int4")[0]
    p = torch.cat([full(plain, batch) for batch in batches])
    q = torch.cat([full(int4, batch) for batch in batches])
    expected = F.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    found = divergence(int4, batches, original(batches, 10**6))
    torch.testing.assert_close(found.kl.double(), expected, rtol=1e-3, atol=2e-5)  # logits are fp32
    assert found.top1_agreement == pytest.approx((p.argmax(-1) == q.argmax(-1)).double().mean().item())
    fewer = divergence(int4, batches, original(batches, 8))
    assert (fewer.kl.double() <= expected + 2e-5).all()
    assert 0.3 * found.kl_divergence < fewer.kl_divergence <= found.kl_divergence


def test_another_vocabulary_is_refused(batches: list[Batch]) -> None:
    model, _ = fastglm.load("demo")
    found = [BestLogits(part.tokens + 10**6, part.logits, part.total, part.target) for part in original(batches, 4)]
    with pytest.raises(UsageError, match="not the original's"):
        divergence(model, batches, found)
