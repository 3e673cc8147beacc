"""The config class that transformers knows for `model_type` "chatglm", which four architectures share."""

from typing import Any

from ..architecture import recognize
from ..base import ModelConfig


class ChatGLMConfig(ModelConfig):
    """The class of no config: reading one gives that of the architecture which the fields are of."""

    model_type = "chatglm"

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The config of the right architecture. Raises CheckpointError: it is of none that is supported."""
        known = recognize({"model_type": cls.model_type, **config_dict})
        return known.config_class.from_dict(config_dict, **kwargs)
