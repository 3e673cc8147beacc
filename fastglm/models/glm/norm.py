"""The norms of GLM."""

import torch
from torch import Tensor, nn

from .facts import GLMFacts


class RoughRMSNorm(nn.RMSNorm):
    """RMSNorm with the mean of squares in the model's dtype, as CodeGeeX2 was trained."""

    def forward(self, x: Tensor) -> Tensor:
        """Norm x, [..., width]."""
        assert self.eps is not None
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.weight


def make_norm(config: GLMFacts) -> nn.RMSNorm:
    """A norm of the states, in the arithmetic of the generation."""
    kind = nn.RMSNorm if config.rules.exact_norm else RoughRMSNorm
    return kind(config.hidden_size, eps=config.layernorm_epsilon)
