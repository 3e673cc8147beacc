"""GLM as a transformers model: a causal decoder with shared keys, RMSNorm and SwiGLU (GLM Team, arXiv 2406.12793)."""

from torch import nn

from ..body import Body
from ..conditional_generation import ConditionalGeneration
from .chat import ChatMixin
from .config import GLMConfig
from .norm import make_norm
from .rotary import Rotary


class GLMModel(Body):
    """Embedding, layers and final norm."""

    config_class = GLMConfig
    config: GLMConfig

    def __init__(self, config: GLMConfig) -> None:
        super().__init__(config)
        self.post_init()

    def make_final_norm(self) -> nn.RMSNorm:
        return make_norm(self.config)

    def make_rotary(self) -> Rotary:
        return Rotary(self.config)


class GLMForConditionalGeneration(ChatMixin, ConditionalGeneration):
    """The language model with the published interface."""

    config_class = GLMConfig
    body_class = GLMModel
