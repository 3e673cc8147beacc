"""Predicted memory: against the tensors of loaded models, and for the cards that variants fit."""

from dataclasses import replace

import pytest
import torch
from live import LiveBytes

from fastglm.compress.configs import packed_config
from fastglm.engine.runner import runner_of
from fastglm.errors import UsageError
from fastglm.models.architecture import architectures
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.glm.config import GLMConfig
from fastglm.variants.load import load
from fastglm.variants.need import predict_need
from fastglm.variants.variants import VARIANTS, get_variant

GIB = 2**30
INT4 = get_variant("int4")
IDS = {"gmask_token_id": 401, "bos_token_id": 402, "eos_token_id": 403, "mask_token_id": 404, "pad_token_id": 3}
SMALL = {"num_layers": 2, "hidden_size": 256, "head_dim": 32, "num_attention_heads": 8, "vocab_size": 512}


def published(name, layers=None):
    """The facts of a published size."""
    known = next(known for known in architectures() if name in known.shapes)
    return known.facts_class.of_shape(name, layers or known.shapes[name])


@pytest.mark.parametrize(("cache", "most"), [("auto", 3.6), ("int8", 3.5)])
def test_chatglm3_in_int4_with_its_whole_context_fits_a_card_of_4_gb(cache, most):
    facts = published("chatglm3-6b")
    need = predict_need(facts, INT4, 8192, cache=cache)
    assert facts.context == 8192
    assert 3.4 * GIB < need.total <= most * GIB
    assert need.card == 4


@pytest.mark.parametrize(
    ("model", "variant", "context", "card"),
    [
        ("chatglm3-6b", "fast", 8192, 16),
        ("chatglm3-6b", "int8", 8192, 8),
        ("chatglm-6b", "int4", 2048, 6),
        ("chatglm-6b", "int8", 2048, 8),
        ("glm-4-9b", "int4", 8192, 6),
        ("glm-4-9b", "original", 131072, None),
    ],
)
def test_the_smallest_card_for_a_variant(model, variant, context, card):
    assert predict_need(published(model), get_variant(variant), context).card == card


@torch.inference_mode()
def test_weights_and_cache_of_chatglm3_are_those_predicted():
    model, _ = load("shape:chatglm3-6b@1", "int4", "cpu", cache="int8")
    facts = replace(published("chatglm3-6b", 1), vocab_size=model.config.vocab_size)  # the demo's tokens
    need = predict_need(facts, INT4, 8192, "cpu", "int8")
    assert model.fastglm.weights_memory == pytest.approx(need.weights, rel=0.001)
    runner = runner_of(model)
    slots, _ = runner.prefill([torch.arange(100, 164)], [64])
    runner._slots.reserve(8192)
    assert runner.memory == need.cache
    runner.free(slots)


@pytest.mark.parametrize(
    "config",
    [
        GLMConfig(
            **SMALL,
            generation="chatglm3",
            ffn_hidden_size=512,
            multi_query_attention=True,
            multi_query_group_num=2,
            seq_length=4096,
        ),
        ChatGLM6BConfig(**SMALL, **IDS, inner_hidden_size=1024, max_sequence_length=4096),
    ],
    ids=["GLM", "ChatGLM-6B"],
)
@torch.inference_mode()
def test_reading_a_long_prompt_takes_no_more_than_predicted(config):
    runner = runner_of(model := config.architecture.model_class(config).eval())
    prompt = torch.tensor([*(n % 400 for n in range(2046)), 401, 402])
    runner.free(runner.prefill([prompt[-70:]], [1])[0])  # tables that stay are made
    with LiveBytes() as live:
        slots, _ = runner.prefill([prompt], [1])
        held = runner.memory
        runner.free(slots)
    work = predict_need(model.config, get_variant("fast"), len(prompt), "cpu").work
    assert 0.7 * work < live.most - held <= work


def test_a_learned_prefix_counts():
    facts = published("chatglm3-6b")
    tuned = replace(facts, pre_seq_len=128)
    plain, need = predict_need(facts, INT4, 8192), predict_need(tuned, INT4, 8192)
    assert need.cache - plain.cache == 128 * facts.token_bytes(2)
    assert need.weights - plain.weights == 128 * facts.cache_values() * 2


def test_two_models_are_counted_where_one_drafts():
    facts = published("chatglm3-6b")
    both = predict_need(facts, get_variant("speculative"), 2048)
    one, drafts = (predict_need(facts, get_variant(name), 2048) for name in ("fast", "turbo"))
    assert (both.weights, both.cache) == (one.weights + drafts.weights, one.cache + drafts.cache)


def test_sizes_that_nobody_can_predict_are_refused():
    with pytest.raises(UsageError, match="bitsandbytes"):
        predict_need(published("chatglm3-6b"), VARIANTS["bnb-nf4"], 2048)
    quantised = packed_config(published("chatglm3-6b"), "int8", None)
    with pytest.raises(UsageError, match="quantised already"):
        predict_need(quantised, INT4, 2048)
