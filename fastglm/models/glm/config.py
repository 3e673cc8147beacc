"""The config of GLM."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from transformers.utils import cached_file

from ...errors import CheckpointError
from ..base import ModelConfig
from ..generate_settings import stop_tokens
from .facts import GLMFacts
from .generation import GENERATIONS, decide, named

log = logging.getLogger(__name__)
_LEAST = 0.75  # share of a model's tokens that its tokenizer has; the published ones have more than 0.99
_BESIDE = ("tokenizer_config.json", "tokenization_chatglm.py")


class GLMConfig(GLMFacts, ModelConfig):
    """GLM for transformers, with the published field names and defaults, which `facts` describes."""

    # Read by AutoTokenizer where tokenizer_config.json is missing.
    tokenizer_class: ClassVar[str] = "ChatGLMTokenizer"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A config from the fields of its file, with the generation that the files beside it tell.

        Args:
            kwargs: as of transformers; `generation` says it, `name_or_path` is the folder or hub id of the files.

        Raises:
            CheckpointError: the config is of another architecture, or a field is of another type or out of its range.
        """
        fields = dict(config_dict)
        if (said := kwargs.pop("generation", None)) is not None:
            fields["generation"] = said
        generation, assumed = decide(fields, _folder(kwargs.get("name_or_path")))
        if assumed:
            _warn(assumed)
        return super().from_dict({**fields, "generation": generation, "assumed": assumed}, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The fields to save, two of them also under their published names."""
        return {**super().to_dict(), "padded_vocab_size": self.vocab_size, "kv_channels": self.head_dim}

    def other_generation(self, fields: Mapping[str, Any]) -> str | None:
        """The generation that another config names, if it is not this model's; None if it names none."""
        told = named(fields)
        return None if not told or self.generation in told else GENERATIONS[min(told)].title

    def agree(self, tokenizer: Any) -> None:
        """Take over the padding of the tokenizer, and the tokens that end an answer in its conversations.

        Raises CheckpointError if it is of another generation, or has more tokens than the model, or far fewer.
        """
        many, rows = len(tokenizer), self.vocab_size
        mine, other = str(self.generation), getattr(tokenizer, "generation", None)
        if other and other != mine:
            raise CheckpointError(
                f"config.json is that of a {GENERATIONS[mine].title} checkpoint, and tokenizer_config.json that of a "
                f"{GENERATIONS[other].title} one: copy both from the same checkpoint."
            )
        is_stand_in = not hasattr(tokenizer, "generation")  # the demo's tokenizer, with random weights
        if many > rows or (many < _LEAST * rows and not is_stand_in):
            added = ", or add rows for the others with model.resize_token_embeddings(len(tokenizer)), and save it again"
            raise CheckpointError(
                f"The tokenizer has {many} tokens, the model {rows}: copy both from the same checkpoint"
                f"{added if many > rows else ''}."
            )
        self.pad_token_id = tokenizer.pad_token_id
        ends = list(dict.fromkeys([*stop_tokens(self.eos_token_id), *getattr(tokenizer, "end_ids", ())]))
        self.eos_token_id = ends if len(ends) > 1 else ends[0]


@cache
def _warn(line: str) -> None:
    """Warn once, although configs are read again for the tokenizer and for sizes."""
    log.warning("%s", line)


def _folder(name: Any) -> Path | None:
    """The folder of a checkpoint's small files; those of a hub id are fetched."""
    if not name:
        return None
    if Path(name).is_dir():
        return Path(name)
    quiet = {f"_raise_exceptions_for_{each}": False for each in ("gated_repo", "missing_entries", "connection_errors")}
    found = [cached_file(str(name), file, **quiet) for file in _BESIDE]
    return next((Path(file).parent for file in found if file), None)
