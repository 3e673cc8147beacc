"""The common parts of the tokenizers of ChatGLM2 and its successors."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from transformers import BatchEncoding

from ...errors import CheckpointError, UsageError
from ...history import as_messages
from ...messages import Message
from ...system.files import read_regular
from ..added_tokens import AddedTokensTokenizer
from ..architecture import Conversation
from .conversation import CONVERSATIONS, single_message
from .template import TemplateMixin

# Tokens that GLM-4 cannot do without.
CONTROLS = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
LARGEST = 64 << 20  # bytes of a vocabulary file; the published ones have at most 3 MB


class GLMTokenizer(TemplateMixin, AddedTokensTokenizer):
    """A vocabulary file and control tokens; every prompt begins with `[gMASK] sop`.

    In a conversation no text becomes a control token: these are set by their ids.
    """

    origin: ClassVar[str]  # the models that such a vocabulary file comes from
    registered: ClassVar[str]  # the published name of the class
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "tokenizer.model"}
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]
    padding_side = "left"
    start_tokens: ClassVar[tuple[str, str]]  # they begin every prompt

    generation: str
    vocab_file: str
    chat_template: Any

    @property
    def conversation(self) -> Conversation:
        """The rules of a conversation in the model's generation."""
        return CONVERSATIONS[self.generation]

    @property
    def end_ids(self) -> list[int]:
        """Ids that end an answer."""
        return list(dict.fromkeys([self.eos_token_id, *map(self.get_command, self.conversation.ends)]))

    def get_command(self, token: str) -> int:
        """Id of a control token by its published name. Raises UsageError if the tokenizer has no such token."""
        id = self._added_tokens_encoder.get(token)
        if id is None:
            raise UsageError(f"The tokenizer has no control token {token!r}.")
        return id

    def get_prefix_tokens(self) -> list[int]:
        """Ids that begin every prompt."""
        return [self.get_command(token) for token in self.start_tokens]

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text; nothing in it becomes a control token, but ordinary tokens that a user added are found."""
        ids: list[int] = []
        for part, added in self.parts(text, special=False):
            ids += [self._added_tokens_encoder[part]] if added else self._encode_plain(part)
        return ids

    def tokenize(self, text: str, split_special_tokens: bool | None = None, **_: Any) -> list[str]:
        """Tokens of a text, including those that a user added.

        split_special_tokens: split special ones instead, like `encode_text`; by default the tokenizer's own setting.
        """
        split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        tokens: list[str] = []
        for part, added in self.parts(text, special=not split):
            tokens += [part] if added else map(self._convert_id_to_token, self._encode_plain(part))
        return tokens

    def _encode_plain(self, text: str) -> list[int]:
        """Ids of a text by the vocabulary file alone."""
        raise NotImplementedError

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """A prompt that is ready to be answered, with its answer and end if given."""
        answer = [] if token_ids_1 is None else [*token_ids_1, self.eos_token_id]
        return [*self.get_prefix_tokens(), *token_ids_0, *answer]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, True)
        answer = [] if token_ids_1 is None else [*[0] * len(token_ids_1), 1]
        return [1, 1, *[0] * len(token_ids_0), *answer]

    def build_single_message(self, role: str, metadata: str, message: str) -> list[int]:
        """Ids of a message: its role as a control token, then metadata and text, in which nothing becomes one."""
        return self.encode_pieces(single_message(self, Message(role, message, metadata)))  # type: ignore[arg-type]

    def build_chat_input(self, query: str, history: Any = None, role: str = "user") -> BatchEncoding:
        """The prompt of a conversation as tensors of one row.

        Args:
            history: in any form of `fastglm.history`.
            role: of the query, for example `observation` for the result of a tool.
        """
        messages = [*as_messages(history), Message(role, query)]  # type: ignore[arg-type]
        ids = self.conversation.ids(self, messages)
        return BatchEncoding({"input_ids": [ids], "attention_mask": [[1] * len(ids)]}, tensor_type="pt")

    def _save_pretrained(self, save_directory: str, file_names: tuple[str, ...], **kwargs: Any) -> tuple[str, ...]:
        config = Path(file_names[0])
        fields = json.loads(config.read_text(encoding="utf-8")) | {"tokenizer_class": self.registered}
        config.write_text(json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return super()._save_pretrained(save_directory, file_names, **kwargs)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        name = (filename_prefix + "-" if filename_prefix else "") + self.vocab_files_names["vocab_file"]
        target = Path(save_directory) / name
        if not Path(self.vocab_file).is_file():  # removed since it was read
            target.write_bytes(self._serialized())
        elif not (target.exists() and os.path.samefile(self.vocab_file, target)):
            shutil.copyfile(self.vocab_file, target)
        return (str(target),)

    def _serialized(self) -> bytes:
        """The content of the vocabulary file."""
        raise NotImplementedError


def read_vocabulary(path: str | Path | None) -> bytes:
    """The content of a vocabulary file. Raises CheckpointError if there is none, or it cannot be read."""
    if path is None:
        raise CheckpointError("The checkpoint has no tokenizer.model: copy the tokenizer file beside config.json.")
    try:
        return read_regular(Path(path), LARGEST)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): fetch the file again.") from error


def check_controls(added: Mapping[int, Any], first: int, path: str | Path) -> None:
    """Check that a tokenizer's config gives the control tokens ids behind the vocabulary, from `first` on.

    Raises:
        CheckpointError: a token is missing or has another id, as in the config of another checkpoint; or the vocabulary
            ends before them.
    """
    ids = {str(token): id for id, token in added.items()}
    wrong = [name for name in CONTROLS if ids.get(name, -1) < first]
    if wrong:
        raise CheckpointError(
            f"{path} needs a tokenizer_config.json that names the control tokens behind its {first} tokens; "
            f"{wrong[0]} is not there: copy both files from the same checkpoint."
        )
    if (begin := min(added)) > first:
        raise CheckpointError(
            f"{path} ends after {first} tokens, and tokenizer_config.json has the next one at {begin} (an incomplete "
            "download?): fetch both again."
        )
