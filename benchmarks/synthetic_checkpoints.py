"""Checkpoints with random weights, made for measuring: any size, in the published ChatGLM-6B layout."""

from pathlib import Path

import torch

from fastglm.compress.checkpoint_writer import write_checkpoint
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.chatglm.tokenizer import ChatGLMTokenizer
from fastglm.models.random_weights import random_tensors, shape_config
from fastglm.models.source import demo_folder, find_source


def make_checkpoint(
    folder: Path,
    tokenizer: ChatGLMTokenizer,
    hidden: int,
    layers: int,
    heads: int,
    vocabulary: int,
    dtype: torch.dtype = torch.float32,
    shard_size: str = "10GB",
) -> None:
    """Write a checkpoint (FFN four times `hidden`) for `tokenizer`, in shards of at most `shard_size`."""
    config = ChatGLM6BConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_layers=layers,
        num_attention_heads=heads,
        inner_hidden_size=4 * hidden,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.convert_tokens_to_ids("[MASK]"),
        gmask_token_id=tokenizer.convert_tokens_to_ids("[gMASK]"),
        dtype=dtype,
    )
    with torch.device("meta"):
        model = ChatGLMForConditionalGeneration(config)
    tensors = dict(random_tensors(model, torch.device("cpu"), dtype))
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    model.save_pretrained(folder, max_shard_size=shard_size)
    tokenizer.save_pretrained(folder)


def write_published(folder: Path, layers: int) -> None:
    """Write `shape:chatglm-6b` with so many layers in fp16, with no more than a shard of about 1 GB in memory."""
    tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
    config = shape_config(find_source(f"shape:chatglm-6b@{layers}"), tokenizer)
    with torch.device("meta"):
        model = ChatGLMForConditionalGeneration(config)
    write_checkpoint(folder, config, random_tensors(model, torch.device("cpu"), torch.float16))
    tokenizer.save_pretrained(folder)
