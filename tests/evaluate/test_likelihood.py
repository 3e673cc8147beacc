"""Likelihood: packing and batches give the same as each answer alone."""

import math

import pytest
import torch

from fastglm.evaluate.likelihood import EXAMPLES_AT_ONCE, Likelihood, likelihood
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.packing import Example

GMASK, SOP, EOP = 86, 89, 90


@pytest.fixture(scope="module")
def model() -> ChatGLMForConditionalGeneration:
    torch.manual_seed(0)
    config = ChatGLM6BConfig(
        vocab_size=128, hidden_size=32, num_layers=2, num_attention_heads=2, inner_hidden_size=64,
        max_sequence_length=64, bos_token_id=SOP, eos_token_id=EOP, mask_token_id=85, gmask_token_id=GMASK,
        pad_token_id=3, initializer_range=0.3,
    )  # fmt: skip
    return ChatGLMForConditionalGeneration(config).eval()


def test_the_likelihood_is_the_sum_over_all_answers(model: ChatGLMForConditionalGeneration) -> None:
    examples = [
        Example([*range(10, 11 + n % 5), GMASK, SOP, *range(20, 21 + n % 7), EOP], n % 5 + 2)
        for n in range(EXAMPLES_AT_ONCE + 9)
    ]
    nats, tokens = 0.0, 0
    for example in examples:
        with torch.inference_mode():
            logits = model(torch.tensor([example.tokens])).logits[0, example.context : -1]
        nats += torch.nn.functional.cross_entropy(logits, torch.tensor(example.targets), reduction="sum").item()
        tokens += len(example.targets)
    found = likelihood(model, examples)
    assert found.tokens == tokens
    assert found.nats == pytest.approx(nats, rel=1e-4)


def test_perplexity_and_bits_per_byte() -> None:
    found = Likelihood(nats=6 * math.log(2), tokens=3)
    assert found.loss == pytest.approx(2 * math.log(2))
    assert found.perplexity == pytest.approx(4)
    assert found.bits_per_byte(["a", "你"]) == pytest.approx(6 / 4)
