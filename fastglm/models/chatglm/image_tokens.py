"""Image tokens: the first ChatGLM-6B checkpoints have 150528 tokens, of which 20000 image tokens, unused by text, come
first.

Dropping these is lossless; every id of the text decreases by their number.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from ...errors import UsageError
from ..checkpoint import EMBEDDING, HEAD
from .config import ChatGLM6BConfig

if TYPE_CHECKING:
    from .tokenizer import ChatGLMTokenizer


def trim_config(config: ChatGLM6BConfig, tokenizer: "ChatGLMTokenizer") -> tuple[ChatGLM6BConfig, "ChatGLMTokenizer"]:
    """Config and tokenizer without the image tokens.

    Raises:
        UsageError: the vocabulary has none.
    """
    images = tokenizer.num_image_tokens
    if not images or config.vocab_size - images < tokenizer.vocab_size - images:
        raise UsageError("This checkpoint's vocabulary has no image tokens to trim: load it without trimming.")
    config.vocab_size -= images
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id", "gmask_token_id"):
        value = getattr(config, name)
        if isinstance(value, list):
            setattr(config, name, [id - images for id in value])
        elif value is not None and value >= images:
            setattr(config, name, value - images)
    added = {id - images: token for id, token in tokenizer.added_tokens_decoder.items()}
    changed = {"vocab_file": tokenizer.vocab_file, "num_image_tokens": 0, "added_tokens_decoder": added}
    return config, type(tokenizer)(**{**tokenizer.init_kwargs, **changed})


def trim_rows(tensors: Iterator[tuple[str, Tensor]], vocabulary: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors with only the last `vocabulary` rows of embedding and head, packed or not."""
    matrices = tuple(name.removesuffix("weight") for name in (EMBEDDING, HEAD))
    for name, tensor in tensors:
        yield name, tensor[-vocabulary:] if name.startswith(matrices) else tensor
