"""Image tokens: the first ChatGLM-6B checkpoints have 150528 tokens, of which 20000 image tokens, unused by text, come
first.

Dropping these is lossless; every id of the text decreases by their number.
"""

from typing import TYPE_CHECKING

from ...errors import UsageError
from .token_ids import ID_FIELDS

if TYPE_CHECKING:
    from .config import ChatGLM6BConfig
    from .tokenizer import ChatGLM6BTokenizer


def trim(config: "ChatGLM6BConfig", tokenizer: "ChatGLM6BTokenizer") -> "ChatGLM6BTokenizer":
    """Take the image tokens out of a config, in place; the tokenizer without them.

    Raises:
        UsageError: the vocabulary has none.
    """
    images = tokenizer.num_image_tokens
    if not images or config.vocab_size - images < tokenizer.vocab_size - images:
        raise UsageError("This checkpoint's vocabulary has no image tokens to trim: load it without trimming.")
    config.vocab_size -= images
    for name in ID_FIELDS:
        value = getattr(config, name)
        if isinstance(value, list):
            setattr(config, name, [id - images for id in value])
        elif value is not None and value >= images:
            setattr(config, name, value - images)
    added = {id - images: token for id, token in tokenizer.added_tokens_decoder.items()}
    changed = {"vocab_file": tokenizer.vocab_file, "num_image_tokens": 0, "added_tokens_decoder": added}
    return type(tokenizer)(**{**tokenizer.init_kwargs, **changed})
