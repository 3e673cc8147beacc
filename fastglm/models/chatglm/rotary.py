"""Two-dimensional rotary positions of ChatGLM-6B."""

import torch
from torch import Tensor


class Rotary2D:
    """Tables of the rotation: the first half of each head is rotated by the position, the second by the block position.

    The published inverse frequencies are rounded to fp16 in every precision; a model in fp16 was also trained with the
    product of position and frequency rounded to fp16, which is reproduced there.
    """

    def __init__(self, head_dim: int, positions: int) -> None:
        self.half = head_dim // 2
        self.positions = positions
        self._tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __call__(self, position_ids: Tensor, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and signed sin for `kernels.rotary.apply_rotary`.

        Args:
            position_ids: [batch, 2, sequence], position and block position.
            length: an upper bound of every position, plus one.
            dtype: of the activations.

        Returns:
            two tensors [batch, sequence, 1, 4, head_dim / 2]: for the halves of q, then those of k.
        """
        cos, sin = self._table(position_ids.device, dtype, length)
        halves = position_ids.transpose(1, 2)[:, :, None, :].repeat(1, 1, 1, 2)
        return cos[halves], sin[halves]

    def _table(self, device: torch.device, dtype: torch.dtype, length: int) -> tuple[Tensor, Tensor]:
        table = self._tables.get((device, dtype))
        if table is None or table[0].shape[0] < length:
            self.positions = max(self.positions, length)
            exponents = torch.arange(0, self.half, 2, dtype=torch.float32) / self.half
            frequencies = (1.0 / 10000**exponents).half()
            steps = torch.arange(self.positions, dtype=torch.float32)
            if dtype == torch.float16:
                angles = (steps.half()[:, None] * frequencies).float()
            else:
                angles = steps[:, None] * frequencies.float()
            cos, sin = angles.cos(), angles.sin()
            # The sign belongs to the swapped half: (x1, x2) becomes (x1 cos - x2 sin, x2 cos + x1 sin).
            table = (torch.cat((cos, cos), -1).to(device, dtype), torch.cat((-sin, sin), -1).to(device, dtype))
            self._tables[device, dtype] = table
        return table
