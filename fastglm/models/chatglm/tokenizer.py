"""The tokenizer of ChatGLM-6B."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from sentencepiece import SentencePieceProcessor

from ...errors import CheckpointError
from ..added_tokens import AddedTokensTokenizer
from ..token_bytes import of_piece
from .conversation import CONVERSATION
from .sp_tokenizer import SPTokenizer
from .token_ids import IMAGE_TOKENS, settle
from .vocabulary import BUILT_IN, CONTROL_TOKENS, NEWLINE, read_pieces

_BLANKS = re.compile(r" {2,80}")
_BLANK_TOKEN = re.compile(r"<\|blank_(\d\d?)\|>")
_IMAGE = re.compile(r"<image_(\d{1,9})>")


class ChatGLM6BTokenizer(AddedTokensTokenizer):
    """Sentencepiece with tokens for line breaks, tabs and runs of spaces; a prompt ends in `[gMASK] <sop>`.

    Text that spells a control token becomes this token, as published; a chat uses `encode_message` instead.
    """

    origin = "ChatGLM-6B"
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "ice_text.model"}
    built_in = BUILT_IN  # the vocabulary itself finds control tokens; they are not split off before
    conversation = CONVERSATION
    padding_side = "left"
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str,
        num_image_tokens: int = IMAGE_TOKENS,
        pieces: SentencePieceProcessor | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_file = vocab_file
        self.num_image_tokens = num_image_tokens
        self.model = pieces or read_pieces(_check_vocabulary(vocab_file))
        names = {
            "bos_token": "<sop>",
            "eos_token": "<eop>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "[MASK]",
            "gmask_token": "[gMASK]",
            "end_token": "</s>",
        }
        given = {name: value for name, value in kwargs.items() if value is not None or name not in names}
        super().__init__(**{**names, **given, "vocab_file": vocab_file, "num_image_tokens": num_image_tokens})

    @classmethod
    def reads(cls, path: Path) -> bool:
        """Tell whether a file is such a vocabulary, by its name alone; reading it finds out more."""
        return path.name == cls.vocab_files_names["vocab_file"]

    @classmethod
    def convert_to_native_format(cls, **arguments: Any) -> dict[str, Any]:
        """The arguments that transformers found in a checkpoint's files, made consistent.

        Raises:
            CheckpointError: no vocabulary file, one of another model, or files of different checkpoints.
        """
        vocabulary = _check_vocabulary(arguments.get("vocab_file"))
        pieces = read_pieces(vocabulary)
        for name in ("auto_map", "is_local", "local_files_only"):
            arguments.pop(name, None)  # facts of the folder that was read, and code that no other folder has
        return {**settle(arguments, pieces, vocabulary), "pieces": pieces}

    @property
    def vocab_size(self) -> int:
        return self.num_image_tokens + len(self.model)

    @property
    def sp_tokenizer(self) -> SPTokenizer:
        """The published view of this tokenizer: a text alone, with no special tokens."""
        return SPTokenizer(self)

    @property
    def gmask_token_id(self) -> int:
        """Id of the token at whose place the answer goes."""
        return self.convert_tokens_to_ids(self.gmask_token)

    def get_vocab(self) -> dict[str, int]:
        images = {f"<image_{number}>": number for number in range(self.num_image_tokens)}
        pieces = self.model.id_to_piece(list(range(len(self.model))))
        return images | {piece: id for id, piece in enumerate(pieces, len(images))} | self._added_tokens_encoder

    def tokenize(self, text: str, split_special_tokens: bool | None = None, **_: Any) -> list[str]:
        """Pieces of a text, including control tokens.

        split_special_tokens: split them instead, like `encode_text`; by default the tokenizer's own setting.
        """
        if self.split_special_tokens if split_special_tokens is None else split_special_tokens:
            return self.convert_ids_to_tokens(self.encode_text(text))
        tokens: list[str] = []
        for place, (part, added) in enumerate(self.parts(text, special=True)):
            tokens += [part] if added else self._encode(_mark_whitespace(part), place == 0, str)
        return tokens

    def encode_message(self, text: str) -> list[int]:
        """Ids of a prompt ready to be answered; nothing in `text` becomes a control token."""
        return self.encode_text(text) + self.prompt_end

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text; nothing in it becomes a control token, but ordinary tokens that a user added are found.

        A control token in the text is cut in two, and each part is encoded like a text of its own.
        """
        ids: list[int] = []
        for place, (part, added) in enumerate(self.parts(text, special=False)):
            if added:
                ids.append(self._added_tokens_encoder[part])
            else:
                for number, plain in enumerate(self._cut(_mark_whitespace(part))):
                    encoded = self._encode(plain, place == number == 0, int)
                    ids += [i + self.num_image_tokens for i in encoded]
        return ids

    def _encode(self, text: str, first: bool, kind: type) -> list[Any]:
        """Pieces of a text (`kind` is str) or their ids in the vocabulary file (int); `first`: the text begins here."""
        if first:
            return self.model.encode(text, out_type=kind)
        # After a line break, which keeps sentencepiece from putting a space before a part that does not come first.
        pieces = self.model.encode(NEWLINE + text, out_type=kind)
        return pieces[pieces.index(NEWLINE if kind is str else self.model.piece_to_id(NEWLINE)) + 1 :]

    def _cut(self, text: str) -> Iterator[str]:
        """Cut the text after the first character of every control token."""
        special = zip(self.all_special_tokens, self.all_special_ids, strict=True)
        names = {*CONTROL_TOKENS, *(token for token, id in special if token not in BUILT_IN and id < self.vocab_size)}
        begin = 0
        for found in re.finditer("|".join(map(re.escape, sorted(names, key=len, reverse=True))), text):
            yield text[begin : found.start() + 1]
            begin = found.start() + 1
        yield text[begin:]

    @property
    def end_ids(self) -> list[int]:
        """Tokens that end an answer: `<eop>`."""
        return [self.eos_token_id]

    @property
    def prompt_end(self) -> list[int]:
        """The end of every prompt: `[gMASK] <sop>`."""
        return self.convert_tokens_to_ids(["[gMASK]", "<sop>"])

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """A prompt ready to be answered, with its answer if given: `a [gMASK] <sop> b <eop>`."""
        answer = [] if token_ids_1 is None else [*token_ids_1, self.eos_token_id]
        return [*token_ids_0, *self.prompt_end, *answer]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, True)
        answer = [] if token_ids_1 is None else [*[0] * len(token_ids_1), 1]
        return [*[0] * len(token_ids_0), 1, 1, *answer]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return _unmark_whitespace(self.model.decode(tokens))

    def _decode(self, token_ids: int | list[int], skip_special_tokens: bool = False, **_: Any) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        hidden = self.hidden_ids if skip_special_tokens else frozenset()
        text, first, end = "", True, self.vocab_size
        plain: list[int] = []
        for id in ids:
            if id in hidden:
                continue
            if id < end:
                plain.append(id - self.num_image_tokens)
            elif id in self._added_tokens_decoder:
                text += self._decode_pieces(plain, first) + str(self._added_tokens_decoder[id])
                plain, first = [], False
        return text + self._decode_pieces(plain, first)

    def _decode_pieces(self, pieces: list[int], first: bool) -> str:
        """Text of pieces; pieces that do not come first keep their space, after a line break that is removed again."""
        known = [i for i in pieces if i >= 0]  # image tokens have no text
        if first:
            return _unmark_whitespace(self.model.decode(known))
        return _unmark_whitespace(self.model.decode([self.model.piece_to_id(NEWLINE), *known]))[1:]

    def _convert_token_to_id(self, token: str) -> int:
        if token.startswith("<image_") and (image := _IMAGE.fullmatch(token)):
            return int(image[1])
        return self.num_image_tokens + self.model.piece_to_id(token)

    def _convert_id_to_token(self, index: int) -> str:
        if index < self.num_image_tokens:
            return f"<image_{index}>"
        if index >= self.vocab_size:
            return str(self.unk_token)  # rows that pad the vocabulary of the model
        return self.model.id_to_piece(index - self.num_image_tokens)

    def token_bytes(self, ids: Iterable[int]) -> list[bytes]:
        """The bytes that tokens stand for in an answer; none for control tokens and added ones."""
        hidden = self.hidden_ids
        known = range(self.num_image_tokens, self.vocab_size)
        return [self._bytes(id) if id in known and id not in hidden else b"" for id in ids]

    def _bytes(self, id: int) -> bytes:
        piece = self._convert_id_to_token(id)
        plain = _unmark_whitespace(piece)
        return plain.encode() if plain != piece else of_piece(self.model, id - self.num_image_tokens)

    def _save_pretrained(self, save_directory: str, file_names: tuple[str, ...], **kwargs: Any) -> tuple[str, ...]:
        config = Path(file_names[0])
        fields = json.loads(config.read_text(encoding="utf-8")) | {"tokenizer_class": "ChatGLMTokenizer"}
        config.write_text(json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return super()._save_pretrained(save_directory, file_names, **kwargs)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        name = (filename_prefix + "-" if filename_prefix else "") + self.vocab_files_names["vocab_file"]
        target = Path(save_directory) / name
        if not Path(self.vocab_file).is_file():  # removed since it was read
            target.write_bytes(self.model.serialized_model_proto())
        elif not (target.exists() and os.path.samefile(self.vocab_file, target)):
            shutil.copyfile(self.vocab_file, target)
        return (str(target),)


def _check_vocabulary(vocab_file: str | None) -> Path:
    """The path of a vocabulary file. Raises CheckpointError if there is none."""
    if vocab_file is None:
        raise CheckpointError("The checkpoint has no ice_text.model: copy the tokenizer file beside config.json.")
    return Path(vocab_file)


def _mark_whitespace(text: str) -> str:
    text = text.replace("\n", NEWLINE).replace("\t", "<|tab|>")
    return _BLANKS.sub(lambda found: f"<|blank_{len(found[0])}|>", text)


def _unmark_whitespace(text: str) -> str:
    if "<" not in text:
        return text
    text = text.replace(NEWLINE, "\n").replace("<|tab|>", "\t")
    return _BLANK_TOKEN.sub(lambda found: " " * int(found[1]), text)
