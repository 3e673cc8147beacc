"""`shape:` models: a published config with random weights, made on the device in the variant's format."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .chatglm.config import ChatGLM6BConfig
from .source import Source

if TYPE_CHECKING:
    from .chatglm.tokenizer import ChatGLMTokenizer

# Random numbers are drawn once and repeated: speed and memory do not depend on them, and drawing billions takes long.
_BLOCK = 1 << 20


def shape_config(source: Source, tokenizer: "ChatGLMTokenizer") -> ChatGLM6BConfig:
    """The published config with `source.layers` layers, and the control tokens at the tokenizer's ids."""
    return ChatGLM6BConfig(
        num_layers=source.layers,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.convert_tokens_to_ids("[MASK]"),
        gmask_token_id=tokenizer.convert_tokens_to_ids("[gMASK]"),
    )


def random_tensors(model: nn.Module, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """A tensor for every parameter and buffer: matrices random, norms and scales plain."""
    generator = torch.Generator(device=device).manual_seed(0)
    normal = torch.randn(_BLOCK, generator=generator, device=device).mul_(0.02).to(dtype)
    numbers = torch.randint(-127, 128, (_BLOCK,), dtype=torch.int8, generator=generator, device=device)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.is_meta or name == "lm_head.weight":
            continue
        if tensor.dtype == torch.int8:
            value = _repeat(numbers, tensor)
        elif name.endswith("weight_scale"):
            # A scale for which the weights spread like the random ones in floating point.
            value = torch.full(
                tensor.shape, 0.02 / (73 if tensor.ndim == 1 else 4.6), dtype=tensor.dtype, device=device
            )
        elif tensor.ndim == 2 and name.endswith(".weight"):
            value = _repeat(normal, tensor)
        else:
            value = torch.full(tensor.shape, float("layernorm.weight" in name), dtype=dtype, device=device)
        yield name, value


def _repeat(block: Tensor, like: Tensor) -> Tensor:
    out = torch.empty(like.numel(), dtype=block.dtype, device=block.device)
    for part in out.split(block.numel()):
        part.copy_(block[: part.numel()])
    return out.view(like.shape)
