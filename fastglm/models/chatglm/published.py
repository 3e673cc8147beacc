"""The published interface of ChatGLM-6B that later generations lack: masks and positions."""

from typing import Any

import torch
from torch import Tensor

from ...errors import UsageError
from .conversation import clean_response
from .positions import attention_mask, find_layout, position_ids


class MasksMixin:
    """Attributes and calls as published, with the same names, arguments and results."""

    config: Any

    @property
    def max_sequence_length(self) -> int:
        """Tokens of prompt and answer together."""
        return self.config.max_sequence_length

    @property
    def position_encoding_2d(self) -> bool:
        """Tell whether positions are two-dimensional."""
        return self.config.position_encoding_2d

    def process_response(self, response: str) -> str:
        """An answer as the published `chat` shows it."""
        return clean_response(response)

    def get_masks(self, input_ids: Tensor | list[int], device: torch.device | str | None = None) -> Tensor:
        """The published mask of prompts, [batch, 1, sequence, sequence], True where hidden."""
        ids = self._prompts(input_ids, device)
        return ~attention_mask(find_layout(ids, None, self.config.bos_token_id, -1, -1))

    def get_position_ids(
        self,
        input_ids: Tensor | list[int],
        mask_positions: list[int] | int,
        device: torch.device | str | None = None,
        use_gmasks: list[bool] | None = None,
    ) -> Tensor:
        """The published positions of prompts, [batch, 2, sequence].

        Args:
            mask_positions: the position of each row's mask token, which generated tokens get too.
            use_gmasks: without effect on two-dimensional positions, as published.
        """
        ids = self._prompts(input_ids, device)
        positions = position_ids(find_layout(ids, None, self.config.bos_token_id, -1, -1))
        anchor = torch.as_tensor(mask_positions, device=ids.device).reshape(-1, 1)
        positions[:, 0] = torch.where(positions[:, 1] > 0, anchor, positions[:, 0])
        return positions

    def _prompts(self, input_ids: Tensor | list[int], device: torch.device | str | None) -> Tensor:
        ids = torch.as_tensor(input_ids, device=device)
        ids = ids[None] if ids.ndim == 1 else ids
        if not bool((ids == self.config.bos_token_id).any(-1).all()):
            raise UsageError("A prompt has no <sop>, where its context ends: tokenize it with special tokens.")
        return ids
