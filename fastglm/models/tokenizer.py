"""The tokenizers of ChatGLM: one registered class name, told apart by the vocabulary file."""

import os
import re
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sentencepiece import SentencePieceProcessor
from transformers import PreTrainedTokenizer

from ..errors import CheckpointError

CONTROL_TOKENS = ("[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>")
_CONTROL = re.compile("|".join(map(re.escape, CONTROL_TOKENS)))
_BLANKS = re.compile(r" {2,80}")
_BLANK_TOKEN = re.compile(r"<\|blank_(\d\d?)\|>")


class ChatGLMTokenizer(PreTrainedTokenizer):
    """What is registered under the published class name; loading gives the class of the vocabulary file found."""

    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "ice_text.model",
        "later_vocab_file": "tokenizer.model",
    }

    def __new__(
        cls, vocab_file: str | None = None, later_vocab_file: str | None = None, **_: Any
    ) -> "ChatGLMTokenizer":
        # transformers itself offers tokenizer.model as `vocab_file` where the published name is missing.
        if Path(vocab_file or later_vocab_file or "").name == cls.vocab_files_names["later_vocab_file"]:
            raise CheckpointError(
                "tokenizer.model is the vocabulary of a later generation (ChatGLM2, ChatGLM3 or GLM-4); "
                "fastglm runs ChatGLM-6B only so far: use a ChatGLM-6B checkpoint."
            )
        if vocab_file is None:
            raise CheckpointError("The checkpoint has no ice_text.model: copy the tokenizer file beside config.json.")
        return super().__new__(ChatGLM6BTokenizer)


class ChatGLM6BTokenizer(ChatGLMTokenizer):
    """Sentencepiece with tokens for line breaks, tabs and runs of spaces; a prompt ends in `[gMASK] <sop>`.

    Text that spells a control token becomes that token here, as published; `encode_message` is what a chat uses.
    """

    padding_side = "left"
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file: str, num_image_tokens: int = 20000, **kwargs: Any) -> None:
        kwargs.pop("later_vocab_file", None)
        self.vocab_file = vocab_file
        self.num_image_tokens = num_image_tokens
        self.model = SentencePieceProcessor()
        try:
            self.model.Load(str(vocab_file))
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"{vocab_file} is not a sentencepiece model (an incomplete download?): fetch it again."
            ) from error
        names = {"bos_token": "<sop>", "eos_token": "<eop>", "pad_token": "<pad>", "unk_token": "<unk>"}
        self.gmask_token = kwargs.get("gmask_token", "[gMASK]")
        super().__init__(**{**names, **kwargs, "vocab_file": vocab_file, "num_image_tokens": num_image_tokens})

    @property
    def vocab_size(self) -> int:
        return self.num_image_tokens + self.model.get_piece_size()

    @property
    def gmask_token_id(self) -> int:
        """Id of the token that stands where the answer goes."""
        return self._convert_token_to_id(self.gmask_token)

    def get_vocab(self) -> dict[str, int]:
        return {self._convert_id_to_token(i): i for i in range(self.vocab_size)}

    def tokenize(self, text: str, **_: Any) -> list[str]:
        """Pieces of a text. Control tokens are found by the vocabulary itself, not split off before."""
        return self.model.encode(_mark_whitespace(text), out_type=str)

    def encode_message(self, text: str) -> list[int]:
        """Ids of a prompt ready to be answered, where nothing in `text` becomes a control token."""
        return self.encode_text(text) + self.prompt_end

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text, where nothing in it becomes a control token.

        A control token that the text spells is cut in two, each part encoded as a text of its own would be.
        """
        parts = _CONTROL.sub(lambda found: found[0][0] + "\0" + found[0][1:], _mark_whitespace(text)).split("\0")
        ids: list[int] = self.model.encode(parts[0])
        newline = self.model.piece_to_id("<n>")
        for part in parts[1:]:
            # Encoded behind a line break, which keeps sentencepiece from putting a space before it.
            encoded = self.model.encode("<n>" + part)
            ids += encoded[encoded.index(newline) + 1 :]
        return [i + self.num_image_tokens for i in ids]

    @property
    def prompt_end(self) -> list[int]:
        """What every prompt ends in: `[gMASK] <sop>`."""
        return [self.gmask_token_id, self._convert_token_to_id("<sop>")]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return token_ids_0 + self.prompt_end + (token_ids_1 or [])

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return 2

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        if already_has_special_tokens:
            return [int(i in self.all_special_ids or i == self.gmask_token_id) for i in token_ids_0]
        return [0] * len(token_ids_0) + [1, 1] + [0] * len(token_ids_1 or [])

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return _unmark_whitespace(self.model.decode(tokens))

    def _decode(self, token_ids: int | list[int], skip_special_tokens: bool = False, **_: Any) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        hidden = self._hidden_ids if skip_special_tokens else frozenset()
        last = self.model.get_piece_size()
        pieces = [i - self.num_image_tokens for i in ids if i not in hidden]
        return _unmark_whitespace(self.model.decode([i for i in pieces if 0 <= i < last]))

    @cached_property
    def _hidden_ids(self) -> frozenset[int]:
        return frozenset(self._convert_token_to_id(t) for t in (*CONTROL_TOKENS, "<pad>", "<unk>", "<s>", "</s>"))

    def _convert_token_to_id(self, token: str) -> int:
        return self.num_image_tokens + self.model.piece_to_id(token)

    def _convert_id_to_token(self, index: int) -> str:
        if index < self.num_image_tokens:
            return f"<image_{index}>"
        if index - self.num_image_tokens >= self.model.get_piece_size():
            return str(self.unk_token)  # rows that pad the vocabulary of the model
        return self.model.id_to_piece(index - self.num_image_tokens)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        name = (filename_prefix + "-" if filename_prefix else "") + self.vocab_files_names["vocab_file"]
        target = Path(save_directory) / name
        if not (target.exists() and os.path.samefile(self.vocab_file, target)):
            shutil.copyfile(self.vocab_file, target)
        return (str(target),)


def _mark_whitespace(text: str) -> str:
    text = text.replace("\n", "<n>").replace("\t", "<|tab|>")
    return _BLANKS.sub(lambda found: f"<|blank_{len(found[0])}|>", text)


def _unmark_whitespace(text: str) -> str:
    text = text.replace("<n>", "\n").replace("<|tab|>", "\t")
    return _BLANK_TOKEN.sub(lambda found: " " * int(found[1]), text)
