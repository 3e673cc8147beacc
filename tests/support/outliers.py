"""A checkpoint with a few channels that are far larger than the rest, as in large models, and with unchanged
answers.
"""

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from fastglm.models.chatglm.block import RESIDUAL_SCALE
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration

CHANNELS = (5, 11, 150)  # channels of hidden states: two within one group of 128, one in another
VALUE_CHANNEL = 3  # channel of the first head


@torch.no_grad()
def add_outliers(model: ChatGLMForConditionalGeneration, size: float) -> None:
    """Make some channels about `size` times as large as the rest; in exact arithmetic the logits do not change.

    Every layer norm gives a constant more in some channels, which the biases of the following product take back; one
    value channel is multiplied, and its column of the output projection divided.
    """
    for block in model.transformer.layers:
        attention, mlp = block.attention, block.mlp
        _shift(block.input_layernorm, attention.query_key_value, attention.dense, size)
        _shift(block.post_attention_layernorm, mlp.dense_h_to_4h, mlp.dense_4h_to_h, size)
        row = 2 * attention.head_dim + VALUE_CHANNEL  # part of [q | k | v] of a head
        attention.query_key_value.weight[row] *= size
        attention.query_key_value.bias[row] *= size
        attention.dense.weight[:, VALUE_CHANNEL] /= size


def _shift(norm: nn.LayerNorm, following: nn.Linear, added: nn.Linear, size: float) -> None:
    """Shift the outputs of `norm`, compensated in `following`, and in `added`, whose output the scaled norm joins."""
    usual = (norm.weight.square() + norm.bias.square()).mean().sqrt()
    shift = torch.zeros_like(norm.bias)
    shift[list(CHANNELS)] = size * usual
    norm.bias += shift
    following.bias -= following.weight @ shift
    added.bias -= RESIDUAL_SCALE * shift


def with_outliers(folder: Path, size: float, to: Path) -> Path:
    """Copy a checkpoint and add outliers of that size."""
    model = ChatGLMForConditionalGeneration.from_pretrained(folder).double()
    add_outliers(model, size)
    model.float().save_pretrained(to)
    for name in ("tokenizer_config.json", "ice_text.model"):
        shutil.copyfile(folder / name, to / name)
    return to


def divergence(logits: Tensor, original: Tensor) -> float:
    """KL(original ‖ variant), mean nats per token, of logits [tokens, vocabulary]."""
    p, q = (each.double().log_softmax(-1) for each in (original, logits))
    return (p.exp() * (p - q)).sum(-1).mean().item()
