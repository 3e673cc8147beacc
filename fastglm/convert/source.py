"""The checkpoint to convert, and everything that its config and its generation decide."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Self

from ..errors import UsageError
from ..models.checkpoint import Checkpoint
from ..models.glm.config import GLMConfig
from ..models.glm.generation import Generation
from ..system.files import read_json
from .vocabulary import Vocabulary, read_vocabulary
from .weights import list_weights

_CHAT = {"do_sample": True, "temperature": 0.8, "top_p": 0.8}  # defaults of the published `chat`
_SAMPLING = (*_CHAT, "top_k", "repetition_penalty", "max_length")


@dataclass(frozen=True)
class Source:
    """A checkpoint of ChatGLM2 or a successor in the published layout, with its vocabulary."""

    name: str
    checkpoint: Checkpoint
    config: GLMConfig
    vocabulary: Vocabulary

    @classmethod
    def open(cls, name: str, folder: Path, generation: str = "auto") -> Self:
        """Open a folder; its config tells afterwards whether head and embedding are one matrix.

        Args:
            generation: as for `fastglm.load`.

        Raises:
            UsageError: no other program computes this architecture, or the weights are packed in a layout of ours.
            CheckpointError: the checkpoint or its vocabulary cannot be read.
        """
        checkpoint = Checkpoint(folder, generation)
        config = checkpoint.config
        if not isinstance(config, GLMConfig):
            raise UsageError(
                f"{name} cannot be converted: its positions have two dimensions and its prompt is seen in both "
                "directions, which no other program's architecture has."
            )
        if config.pre_seq_len:
            raise UsageError(f"{name} has a learned prefix (P-Tuning v2), which nothing else reads: convert its base.")
        if config.weight_format:
            raise UsageError(f"{name} was compressed here: name the checkpoint that it was made from.")
        if len({config.shape(layer) for layer in range(config.layers)}) > 1:
            raise UsageError(f"{name} has layers of different widths, which no other program's architecture has.")
        checkpoint.settle_head()
        return cls(name, checkpoint, config, read_vocabulary(folder, generation))

    @property
    def rules(self) -> Generation:
        """The rules of numbers of its generation."""
        return self.config.rules

    @cached_property
    def dtype(self) -> str:
        """The name of the embedding's dtype."""
        name = self.checkpoint.names.ends[0]
        return str(self.checkpoint.named([name])[name].dtype).removeprefix("torch.")

    @property
    def numbers(self) -> int:
        """The number of weights."""
        return sum(prod(weight.shape) for weight in list_weights(self.checkpoint))

    @property
    def sampling(self) -> dict[str, Any]:
        """Settings of answers: the checkpoint's own, or the defaults of the published `chat`."""
        path = self.checkpoint.folder / "generation_config.json"
        told = read_json(path) if path.exists() else {}
        own = {name: told[name] for name in _SAMPLING if name in told}
        return own or ({} if self.config.generation == "codegeex2" else _CHAT)
