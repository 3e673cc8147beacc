"""The config of ChatGLM-6B."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ..base import ModelConfig
from .facts import ChatGLM6BFacts
from .image_tokens import trim
from .positions import Layout, attention_mask, position_ids
from .token_ids import agree

if TYPE_CHECKING:
    from .tokenizer import ChatGLM6BTokenizer


class ChatGLM6BConfig(ChatGLM6BFacts, ModelConfig):
    """ChatGLM-6B for transformers, with the published field names and defaults, which `facts` describes."""

    # Read by AutoTokenizer where tokenizer_config.json is missing.
    tokenizer_class: ClassVar[str] = "ChatGLMTokenizer"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    position_stride: ClassVar[tuple[int, ...]] = (0, 1)  # position and block position
    is_causal: ClassVar[bool] = False  # the context is seen in both directions

    def agree(self, tokenizer: "ChatGLM6BTokenizer") -> None:
        """Take over the ids of the tokenizer. Raises CheckpointError where it has more tokens than the model."""
        agree(self, tokenizer)

    def trim(self, tokenizer: "ChatGLM6BTokenizer") -> "ChatGLM6BTokenizer":
        """Drop the 20000 image tokens of the first checkpoints; the tokenizer without them.

        Raises:
            UsageError: the vocabulary has none.
        """
        return trim(self, tokenizer)

    def positions(self, length: int, context: int) -> Tensor:
        """Positions and block positions, [2, length], of a prompt whose <sop> is token `context`, and of its answer."""
        return position_ids(_layout(length, context))[0]

    def visible(self, length: int, context: int) -> Tensor:
        """The context in both directions, the rest causally: [length, length], True where attended."""
        return attention_mask(_layout(length, context))[0, 0]


def _layout(length: int, context: int) -> Layout:
    """A prompt of `context` tokens, [gMASK] the last of them, then <sop> and the answer."""
    return Layout(torch.ones(1, length, dtype=torch.bool), torch.tensor([context]), torch.tensor([context - 1]))
