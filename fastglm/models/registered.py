"""The config class registered with transformers for `model_type` "chatglm", which several architectures share."""

from typing import Any

from .architecture import recognize
from .base import ModelConfig


class ChatGLMConfig(ModelConfig):
    """A class without configs of its own: reading a config gives the class of the architecture that its fields belong
    to.
    """

    model_type = "chatglm"

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The config of the right architecture. Raises CheckpointError if no supported one fits."""
        known = recognize({"model_type": cls.model_type, **config_dict})
        return known.config_class.from_dict(config_dict, **kwargs)
