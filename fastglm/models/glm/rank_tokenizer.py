"""The tokenizer of GLM-4 and CodeGeeX4: byte pairs by their ranks; control tokens come from the tokenizer's config."""

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from tiktoken import Encoding
from transformers.convert_slow_tokenizer import bytes_to_unicode

from .generation_beside import find_generation
from .ranks import is_ranks, read_ranks
from .templates import TEMPLATES
from .tokenizer import GLMTokenizer, check_controls

_LETTERS = bytes_to_unicode()  # a printable letter for each byte, as in every file tokenizer.json
_BYTES = {letter: byte for byte, letter in _LETTERS.items()}


class GLMRankTokenizer(GLMTokenizer):
    """Byte pairs. As published, a text that spells a control token becomes this token when the tokenizer is called;
    conversations use `encode_text` instead.
    """

    origin = "GLM-4 or CodeGeeX4"
    registered = "ChatGLM4Tokenizer"
    start_tokens = ("[gMASK]", "<sop>")
    generations: ClassVar[tuple[str, ...]] = ("glm4",)
    generation = "glm4"

    def __init__(self, vocab_file: str, ranks: Encoding | None = None, **kwargs: Any) -> None:
        self.vocab_file = vocab_file
        self.model = ranks or read_ranks(vocab_file)
        given = {name: value for name, value in kwargs.items() if value is not None}
        given.setdefault("chat_template", TEMPLATES[self.generation])
        names = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
        super().__init__(**{**names, **given, "generation": self.generation, "vocab_file": vocab_file})

    @classmethod
    def reads(cls, path: Path) -> bool:
        """Tell whether a file is such a vocabulary."""
        return is_ranks(path)

    @classmethod
    def convert_to_native_format(cls, **arguments: Any) -> dict[str, Any]:
        """The arguments that transformers found in a checkpoint's files, with the ranks.

        Raises:
            CheckpointError: the files are of different checkpoints, or control tokens are missing.
        """
        ranks = read_ranks(arguments.get("vocab_file"))
        find_generation(cls, arguments["vocab_file"], arguments.get("generation"))
        check_controls(arguments.get("added_tokens_decoder") or {}, ranks.n_vocab, arguments["vocab_file"])
        for name in ("auto_map", "is_local", "local_files_only", "tokenizer_file"):
            arguments.pop(name, None)  # facts of the folder that was read, and code that no other folder has
        return {**arguments, "ranks": ranks}

    @property
    def vocab_size(self) -> int:
        return self.model.n_vocab

    def get_vocab(self) -> dict[str, int]:
        ids = range(self.vocab_size)
        return dict(zip(map(self._convert_id_to_token, ids), ids, strict=True)) | self._added_tokens_encoder

    def _encode_plain(self, text: str) -> list[int]:
        return self.model.encode_ordinary(text)

    def _convert_token_to_id(self, token: str) -> int | None:
        try:
            return self.model.encode_single_token(bytes(_BYTES[letter] for letter in token))
        except KeyError:
            return self.unk_token_id

    def _convert_id_to_token(self, index: int) -> str:
        if 0 <= index < self.vocab_size:
            return "".join(_LETTERS[byte] for byte in self.model.decode_single_token_bytes(index))
        return ""  # rows that pad the vocabulary of the model

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        text, pending = "", b""
        for token in tokens:
            if token in self._added_tokens_encoder:
                text, pending = text + pending.decode(errors="replace") + token, b""
            else:
                pending += bytes(_BYTES[letter] for letter in token)
        return text + pending.decode(errors="replace")

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        spaces_between_special_tokens: bool = True,
        **_: Any,
    ) -> str:
        """Text of ids. As published, a space is put on both sides of each added token."""
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        hidden = self.hidden_ids if skip_special_tokens else ()
        parts: list[bytes] = [b""]
        for id in ids:
            if id in hidden:
                continue
            if id in self._added_tokens_decoder:
                parts += [str(self._added_tokens_decoder[id]).encode(), b""]
            elif 0 <= id < self.vocab_size:
                parts[-1] += self.model.decode_single_token_bytes(id)
        joint = " " if spaces_between_special_tokens else ""
        return joint.join(part.decode(errors="replace") for part in parts if part)

    def token_bytes(self, ids: Iterable[int]) -> list[bytes]:
        """The bytes that tokens stand for in an answer; none for control tokens and added ones."""
        known, added = range(self.vocab_size), self._added_tokens_decoder
        return [self.model.decode_single_token_bytes(id) if id in known and id not in added else b"" for id in ids]

    def _serialized(self) -> bytes:
        ranks = self.model._mergeable_ranks.items()
        return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ranks)
