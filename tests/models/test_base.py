"""The common questions to an architecture's config."""

import pytest
import torch

from fastglm.models.chatglm.config import ChatGLM6BConfig


def pruned(**more: object) -> ChatGLM6BConfig:
    return ChatGLM6BConfig(
        hidden_size=64, num_layers=2, num_attention_heads=[4, 2], inner_hidden_size=[96, 32], head_dim=16, **more
    )


def test_a_config_answers_for_each_layer() -> None:
    config = pruned(max_sequence_length=50)

    assert (config.layers, config.hidden, config.context) == (2, 64, 50)
    assert [config.query_heads(layer) for layer in range(2)] == [config.kv_heads(layer) for layer in range(2)] == [4, 2]
    assert [config.inner(layer) for layer in range(2)] == [96, 32]
    assert (config.position_kinds, config.is_causal) == (2, False)


def test_the_cache_of_a_token_is_counted_by_the_heads_of_keys() -> None:
    assert pruned().cache_values() == 2 * (4 + 2) * 16
    assert pruned().cache_bytes(torch.float16) == 2 * pruned().cache_values()
    assert pruned(cache_format="int8").cache_bytes(torch.float16) == pruned().cache_values() * (16 + 2) // 16


@pytest.mark.parametrize("name", ["layers", "hidden", "context", "position_kinds", "is_causal"])
def test_answers_are_not_stored_with_the_published_fields(name: str) -> None:
    assert name not in pruned().to_dict()
