"""`shape:` models: a published config with random weights, made on the device in the variant's format."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .architecture import Tokenizer, architectures
from .base import ModelConfig
from .language_model import LanguageModel
from .source import Source

# Random numbers are drawn once and repeated: speed and memory do not depend on them, and drawing billions takes long.
_BLOCK = 1 << 20


def shape_config(source: Source, tokenizer: Tokenizer) -> ModelConfig:
    """The published config with `source.layers` layers, and the control tokens at the tokenizer's ids."""
    known = next(known for known in architectures() if source.shape in known.shapes)
    config = known.config_class.of_shape(source.shape, source.layers)
    config.agree(tokenizer)
    return config


def random_tensors(model: LanguageModel, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """A tensor for every parameter and buffer: matrices random, norms and scales plain."""
    generator = torch.Generator(device=device).manual_seed(0)
    normal = torch.randn(_BLOCK, generator=generator, device=device).mul_(0.02).to(dtype)
    numbers = torch.randint(-127, 128, (_BLOCK,), dtype=torch.int8, generator=generator, device=device)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.is_meta or (model.config.tie_word_embeddings and name == f"{model.names.head}.weight"):
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
            value = torch.full(tensor.shape, float(name.endswith(".weight")), dtype=dtype, device=device)
        yield name, value


def _repeat(block: Tensor, like: Tensor) -> Tensor:
    out = torch.empty(like.numel(), dtype=block.dtype, device=block.device)
    for part in out.split(block.numel()):
        part.copy_(block[: part.numel()])
    return out.view(like.shape)
