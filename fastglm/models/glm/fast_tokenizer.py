"""The tokenizer of a folder with `tokenizer.json`: transformers' own, with a conversation by its chat template."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerFast

from ...errors import UsageError
from ..added_tokens import without_surrogates
from ..architecture import Conversation
from ..token_bytes import of_names
from .conversation import CONVERSATIONS
from .generation_beside import find_generation
from .template import TemplateMixin


class GLMFastTokenizer(TemplateMixin, PreTrainedTokenizerFast):
    """Transformers' fast tokenizer. When it is called, a text that spells a control token becomes this token;
    conversations use `encode_text` instead.
    """

    origin = "transformers' own layout"
    vocab_files_names: ClassVar[dict[str, str]] = {"tokenizer_file": "tokenizer.json"}
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]
    padding_side = "left"
    generations: ClassVar[tuple[str, ...]] = tuple(CONVERSATIONS)

    @classmethod
    def reads(cls, path: Path) -> bool:
        """Tell whether a file is such a vocabulary."""
        return path.suffix == ".json"

    @classmethod
    def convert_to_native_format(cls, **arguments: Any) -> dict[str, Any]:
        """The arguments that transformers found in a checkpoint's files; a missing token for padding is the end's."""
        arguments["pad_token"] = arguments.get("pad_token") or arguments.get("eos_token")
        arguments["generation"] = find_generation(cls, arguments["tokenizer_file"], arguments.get("generation"))
        for name in ("auto_map", "is_local", "local_files_only"):
            arguments.pop(name, None)  # facts of the folder that was read, and code that no other folder has
        return super().convert_to_native_format(**arguments)

    @property
    def generation(self) -> str:
        """The generation of its conversations."""
        return str(self.init_kwargs.get("generation", "glm4"))

    @property
    def conversation(self) -> Conversation:
        """The rules of a conversation."""
        return CONVERSATIONS[self.generation]

    @property
    def end_ids(self) -> list[int]:
        """Ids that end an answer."""
        controls = self.control_ids()
        named = [controls[name] for name in self.conversation.ends if name in controls]
        return list(dict.fromkeys([self.eos_token_id, *named]))

    def get_command(self, token: str) -> int:
        """Id of a control token by its name. Raises UsageError if the tokenizer has no such token."""
        if token not in self.control_ids():
            raise UsageError(f"The tokenizer has no control token {token!r}.")
        return self.control_ids()[token]

    def get_prefix_tokens(self) -> list[int]:
        """Ids that begin every prompt."""
        return self.encode("")

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """A prompt that is ready to be answered, with its answer and end if given."""
        answer = [] if token_ids_1 is None else [*token_ids_1, self.eos_token_id]
        return [*self.get_prefix_tokens(), *token_ids_0, *answer]

    def token_bytes(self, ids: Iterable[int]) -> list[bytes]:
        """The bytes that tokens stand for in an answer; none for control tokens and added ones."""
        known = range(self.vocab_size)
        added, backend = self.added_tokens_decoder, self.backend_tokenizer
        names = [backend.id_to_token(id) if id in known and id not in added else None for id in ids]
        return of_names(names, backend.decoder)

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text; nothing in it becomes a control token, but ordinary added tokens are found."""
        controls, added = self.control_ids(), self.get_added_vocab()
        ordinary = sorted((name for name in added if name not in controls), key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, ordinary))})", text) if ordinary else [text]
        return [id for part in parts for id in ([added[part]] if part in ordinary else self._encode_plain(part))]

    def encode_pieces(self, pieces: Sequence[int | str]) -> list[int]:
        """Ids of a prompt in parts, each encoded by itself. A vocabulary that puts a space before every text has
        templates that spell the other spaces: the parts of a text are then one.
        """
        normalizer = self.backend_tokenizer.normalizer
        if normalizer and normalizer.normalize_str("a") != "a":
            groups = [(kind, list(group)) for kind, group in groupby(pieces, type)]
            pieces = [each for kind, group in groups for each in (["".join(map(str, group))] if kind is str else group)]
        return super().encode_pieces(pieces)

    def _encode_plain(self, text: str) -> list[int]:
        """Ids of a text without any added token."""
        backend = self.backend_tokenizer
        text = without_surrogates(text)
        if backend.normalizer:
            text = backend.normalizer.normalize_str(text)
        words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)] if backend.pre_tokenizer else [text]
        return [token.id for word in words for token in backend.model.tokenize(word)]

    def _save_pretrained(self, save_directory: str, file_names: tuple[str, ...], **kwargs: Any) -> tuple[str, ...]:
        config = Path(file_names[0])
        fields = json.loads(config.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
        config.write_text(json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return super()._save_pretrained(save_directory, file_names, **kwargs)
