"""The common interface of all architectures' configs."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from ..errors import CheckpointError, FastGLMError
from ..kernels.format import WeightFormat
from ..kernels.formats import format_of
from .architecture import Architecture, architecture_of
from .facts import ModelFacts


class ModelConfig(ModelFacts, PreTrainedConfig):
    """The facts of a model as a config for transformers, and answers that need tensors."""

    position_stride: ClassVar[tuple[int, ...]] = (1,)  # growth of each kind of position from a token to the next
    is_causal: ClassVar[bool] = True  # no token sees a later one: the keys of a prompt's beginning can be used again

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A config from the fields of its file; with `return_unused_kwargs` a pair, as in transformers.

        Raises:
            CheckpointError: the config is of another architecture, or a field is of another type or out of its range.
        """
        config_dict = cls.checked(config_dict)
        try:
            made = super().from_dict(config_dict, **kwargs)
        except FastGLMError:
            raise
        except Exception as error:  # errors of transformers about its own fields have no common base
            said = " ".join(str(error).split())[:200]
            raise CheckpointError(f"config.json cannot be used ({said}): compare it with the published one.") from error
        (made[0] if isinstance(made, tuple) else made).check_ids()
        return made

    def __post_init__(self, **kwargs: Any) -> None:
        self.complete()
        PreTrainedConfig.__post_init__(self, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The fields to save."""
        found = super().to_dict()
        found.pop("assumed", None)
        return found

    @property
    def architecture(self) -> Architecture:
        """The architecture of these fields."""
        return architecture_of(self)

    @property
    def pad(self) -> int:
        """The token that fills rows up."""
        assert self.pad_token_id is not None  # set when the config is made
        return self.pad_token_id

    @property
    def position_kinds(self) -> int:
        """The number of position ids that each token has."""
        return len(self.position_stride)

    def linear_format(self) -> WeightFormat | None:
        """The format of the linear layers; None for plain tensors."""
        layout = self.linear_layout()
        return format_of(layout) if layout else None

    def embedding_weight_format(self) -> WeightFormat | None:
        """The format of embedding and head; None for plain tensors."""
        layout = self.embedding_layout()
        return format_of(layout) if layout else None

    def agree(self, tokenizer: Any) -> None:
        """Take over the ids of the tokenizer. Raises CheckpointError if it has more tokens than the model."""
        raise NotImplementedError

    def trim(self, tokenizer: Any) -> Any:
        """Drop tokens that no text uses from the beginning of the vocabulary; returns the tokenizer without them.

        Raises UsageError if there are none.
        """
        raise NotImplementedError

    def positions(self, length: int, context: int) -> Tensor:
        """Positions of a conversation of `length` tokens, [kinds, length], whose answer follows token `context`."""
        return torch.arange(length)[None]

    def visible(self, length: int, context: int) -> Tensor:
        """The tokens that each token may attend to, [length, length], True for these."""
        return torch.ones(length, length, dtype=torch.bool).tril()

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of the keys and values of one token for activations of `dtype`."""
        return self.token_bytes(dtype.itemsize)
