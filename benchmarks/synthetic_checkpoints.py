"""Checkpoints with random weights, made for measuring: any size, in the layout of a published shape."""

from pathlib import Path

import torch

from fastglm.compress.checkpoint_writer import copy_tokenizer, write_checkpoint
from fastglm.models.base import ModelConfig
from fastglm.models.facts import LayerShape
from fastglm.models.language_model import LanguageModel
from fastglm.models.random_weights import random_tensors, shape_config
from fastglm.models.source import demo_folder, find_source
from fastglm.models.tokenizer_files import read_tokenizer

SHAPE = "shape:chatglm-6b"


def make_checkpoint(
    folder: Path,
    hidden: int,
    layers: int,
    heads: int,
    vocabulary: int,
    dtype: torch.dtype = torch.float32,
    shard_size: str = "10GB",
) -> None:
    """Write a checkpoint (FFN four times `hidden`) with the demo's tokenizer, in shards of at most `shard_size`."""
    config = _config(layers)
    config.vocab_size, config.hidden_size, config.head_dim, config.dtype = vocabulary, hidden, hidden // heads, dtype
    config.set_layers([LayerShape(heads, heads, 4 * hidden)] * layers)
    model = _empty(config)
    tensors = dict(random_tensors(model, torch.device("cpu"), dtype))
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    model.save_pretrained(folder, max_shard_size=shard_size)
    copy_tokenizer(demo_folder(), folder)


def write_published(folder: Path, layers: int) -> None:
    """Write a published shape with so many layers in fp16, with no more than a shard of about 1 GB in memory."""
    config = _config(layers)
    write_checkpoint(folder, config, random_tensors(_empty(config), torch.device("cpu"), torch.float16))
    copy_tokenizer(demo_folder(), folder)


def _config(layers: int) -> ModelConfig:
    return shape_config(find_source(f"{SHAPE}@{layers}"), read_tokenizer(demo_folder()))


def _empty(config: ModelConfig) -> LanguageModel:
    with torch.device("meta"):
        return config.architecture.model_class(config)
