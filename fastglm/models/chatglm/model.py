"""ChatGLM-6B as a transformers model (GLM: Du et al., ACL 2022, arXiv 2103.10360; GLM-130B, arXiv 2210.02414, p. 3).

Differences from the usual decoder: the residual branch starts from the normalised input scaled by a constant, the
rotary positions are two-dimensional, and the prompt is seen in both directions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from ...errors import UsageError
from ..body import Body
from ..conditional_generation import ConditionalGeneration
from ..language_model import Plan
from ..masks import check_left_padding, holds
from ..reading import Reading
from .chat import ChatMixin
from .config import ChatGLM6BConfig
from .positions import Layout, find_layout, layout_of
from .positions import attention_mask as find_attention_mask
from .positions import position_ids as find_position_ids
from .published import MasksMixin
from .reading import PromptReader
from .rotary import Rotary2D


class ChatGLMModel(Body):
    """Embedding, layers and final norm."""

    config_class = ChatGLM6BConfig
    config: Any

    def __init__(self, config: ChatGLM6BConfig) -> None:
        super().__init__(config)
        self.post_init()

    def make_final_norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.config.hidden_size, eps=self.config.layernorm_epsilon)

    def make_rotary(self) -> Rotary2D:
        assert self.config.head_dim is not None
        return Rotary2D(self.config.head_dim, self.config.max_sequence_length + 1)

    def layout(self, input_ids: Tensor, mask: Tensor | None) -> Layout:
        """Find the ends of contexts in a batch of prompts, from the tokens themselves; mask: [batch, sequence] or
        None.
        """
        config = self.config
        return find_layout(input_ids, mask, config.bos_token_id, config.gmask_token_id, config.mask_token_id)

    def read(
        self,
        ids: Tensor | None,
        x: Tensor,
        position_ids: Tensor | None,
        attention_mask: Tensor | None,
        cache: Cache | None,
    ) -> Reading:
        """Positions and mask of new tokens, [batch, sequence], or of their embeddings x: [batch, sequence, hidden]."""
        reader = PromptReader(x.shape[:2], x.device, attention_mask, cache)
        if position_ids is not None:
            return reader.as_given(position_ids)
        config = self.config
        marks = [config.bos_token_id, config.gmask_token_id, config.mask_token_id]
        if ids is None:  # rows of the embedding stand for their tokens, as those after a learned prompt
            rows = self.word_embeddings(torch.tensor(marks, device=x.device)).to(x.dtype)
            is_sop, is_gmask, is_mask = ((x == row).all(-1) for row in rows)
        else:
            is_sop, is_gmask, is_mask = (ids.to(x.device) == mark for mark in marks)
        if not reader.begins:
            return reader.after_prompt(reader.lacks_sop and not holds(~is_sop))
        has_sop = holds(is_sop.any(-1))
        if not has_sop and (ids is None or reader.is_behind_prefix):
            raise UsageError(
                "There is no <sop> in inputs_embeds or behind past_key_values, from which positions would follow: pass "
                "position_ids."
            )
        return reader.of_prompt(layout_of(is_sop, is_gmask, is_mask, reader.new), has_sop)


class ChatGLMForConditionalGeneration(ChatMixin, MasksMixin, ConditionalGeneration):
    """The language model with the published interface: `chat`, `stream_chat`, `quantize` and more."""

    config_class = ChatGLM6BConfig
    body_class = ChatGLMModel

    def plan(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Plan:
        """Positions and mask of a batch of prompts, and of the tokens after them.

        Args:
            input_ids: [batch, sequence].
            attention_mask: [batch, sequence], 0 on the padding at the left; None without padding.

        Raises:
            UsageError: there is padding on the right.
        """
        check_left_padding(input_ids, attention_mask)
        layout = self.transformer.layout(input_ids, attention_mask)
        positions, mask = find_position_ids(layout), find_attention_mask(layout)
        return Plan(positions, mask, (~layout.real).sum(-1), self.config.position_stride)
