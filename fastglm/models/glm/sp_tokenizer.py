"""The tokenizer of ChatGLM2, ChatGLM3 and CodeGeeX2: a sentencepiece model, and control tokens behind its pieces."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sentencepiece import SentencePieceProcessor

from ...errors import CheckpointError, UsageError
from ...history import as_messages
from ...messages import Message
from ..token_bytes import of_piece
from .conversation import round_prompt
from .generation_beside import find_generation
from .ranks import is_ranks
from .templates import TEMPLATES
from .tokenizer import GLMTokenizer, read_vocabulary

_FIRST = ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop")
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
_NAMES = {"<bos>": "<s>", "<eos>": "</s>", "<pad>": "<unk>"}  # published names of pieces
# Follows the name of a piece that is spelled like a control token.
_PIECE = "\0"
_OTHERS = ["<n>", "<pad>"]  # pieces that only ChatGLM-6B's vocabulary has


class GLMSentencePieceTokenizer(GLMTokenizer):
    """Sentencepiece with byte fallback. Control tokens have no pieces: no text becomes one."""

    origin = "ChatGLM2, ChatGLM3 or CodeGeeX2"
    registered = "ChatGLMTokenizer"
    start_tokens = ("[gMASK]", "sop")
    generations: ClassVar[tuple[str, ...]] = ("chatglm2", "chatglm3", "codegeex2")

    def __init__(
        self,
        vocab_file: str,
        generation: str | None = None,
        pieces: SentencePieceProcessor | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_file = vocab_file
        self.generation = generation or find_generation(self, vocab_file)
        self.model = pieces or read_pieces(vocab_file)
        self.controls = (*_FIRST, *(_ROLES if self.generation == "chatglm3" else ()))
        self.built_in = frozenset({*self.controls, "<unk>", "<s>", "</s>"})
        names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
        given = {name: value for name, value in kwargs.items() if value is not None}
        more = [token for token in given.pop("extra_special_tokens", ()) if str(token) not in self.built_in]
        given |= {"extra_special_tokens": [*self.controls, *more], "generation": self.generation}
        given.setdefault("chat_template", TEMPLATES[self.generation])
        super().__init__(**{**names, **given, "vocab_file": vocab_file})
        if self._says_the_same(self.chat_template, TEMPLATES[self.generation]):
            self.chat_template = TEMPLATES[self.generation]

    @classmethod
    def reads(cls, path: Path) -> bool:
        """Tell whether a file is such a vocabulary."""
        return not is_ranks(path)

    @classmethod
    def convert_to_native_format(cls, **arguments: Any) -> dict[str, Any]:
        """The arguments that transformers found in a checkpoint's files, with the vocabulary and its generation."""
        pieces = read_pieces(arguments.get("vocab_file"))
        arguments["generation"] = find_generation(cls, arguments["vocab_file"], arguments.get("generation"))
        for name in ("auto_map", "is_local", "local_files_only", "tokenizer_file"):
            arguments.pop(name, None)  # facts of the folder that was read, and code that no other folder has
        return {**arguments, "pieces": pieces}

    @property
    def vocab_size(self) -> int:
        return len(self.model) + len(self.controls)

    def get_vocab(self) -> dict[str, int]:
        ids = range(self.vocab_size)
        return dict(zip(map(self._convert_id_to_token, ids), ids, strict=True)) | self._added_tokens_encoder

    def get_command(self, token: str) -> int:
        return super().get_command(_NAMES.get(token, token))

    def build_prompt(self, query: str, history: Any = None) -> str:
        """ChatGLM2's prompt as a text. Raises UsageError if user and assistant do not take turns.

        history: in any form of `fastglm.history`.
        """
        return round_prompt([*as_messages(history), Message("user", query)])

    def _encode_plain(self, text: str) -> list[int]:
        return self.model.encode(text, out_type=int)

    def _convert_token_to_id(self, token: str) -> int:
        if token in self.controls:
            return len(self.model) + self.controls.index(token)
        return self.model.piece_to_id(token.removesuffix(_PIECE))

    def _convert_id_to_token(self, index: int) -> str:
        if 0 <= index < len(self.model):
            piece = self.model.id_to_piece(index)
            return piece + _PIECE if piece in self.controls else piece
        control = index - len(self.model)
        return self.controls[control] if 0 <= control < len(self.controls) else str(self.unk_token)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return self.model.decode([token.removesuffix(_PIECE) for token in tokens])

    def _decode(self, token_ids: int | list[int], skip_special_tokens: bool = False, **_: Any) -> str:
        """Text of ids. As published, ChatGLM3's control tokens are written by their names, other ones not at all."""
        text = ""
        plain: list[int] = []
        for id in [token_ids] if isinstance(token_ids, int) else token_ids:
            if 0 <= id < len(self.model):
                if id not in self._silent:
                    plain.append(id)
            elif id in self._added_tokens_decoder and not (skip_special_tokens and self._is_special(id)):
                text += self.model.decode(plain) + self._written(id)
                plain = []
        return text + self.model.decode(plain)

    def token_bytes(self, ids: Iterable[int]) -> list[bytes]:
        """The bytes that tokens stand for in an answer; none for control tokens and added ones."""
        known = range(len(self.model))
        return [of_piece(self.model, id) if id in known and id not in self._silent else b"" for id in ids]

    def _is_special(self, id: int) -> bool:
        return self._added_tokens_decoder[id].special

    def _written(self, id: int) -> str:
        """Text of a token behind the pieces."""
        is_silent = id < self.vocab_size and self.generation != "chatglm3"
        return "" if is_silent else str(self._added_tokens_decoder[id])

    @cached_property
    def _silent(self) -> frozenset[int]:
        """Pieces without a text."""
        return frozenset(self.model.piece_to_id(["<unk>", "<s>", "</s>"]))

    def _says_the_same(self, *templates: Any) -> bool:
        """Tell whether templates differ in spaces alone: published ones write those that sentencepiece puts first."""
        said = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))]
        try:
            texts = [self.template_text(said, chat_template=each, add_generation_prompt=True) for each in templates]
        except UsageError:
            return False
        return len({"".join(text.split()) for text in texts}) == 1

    def _serialized(self) -> bytes:
        return self.model.serialized_model_proto()


def read_pieces(path: str | Path | None) -> SentencePieceProcessor:
    """Read a vocabulary file, ready to encode and decode. Raises CheckpointError if it is not of these models."""
    content = read_vocabulary(path)
    broken = CheckpointError(f"{path} is not a sentencepiece model (an incomplete download?): fetch it again.")
    if not content:
        raise broken
    try:
        pieces = SentencePieceProcessor(model_proto=content)
    except RuntimeError as error:
        raise broken from error
    if pieces.unk_id() in pieces.piece_to_id(["<s>", "</s>"]):
        raise CheckpointError(f"{path} has no <s> or no </s>: use the file of a ChatGLM2 or ChatGLM3 checkpoint.")
    if pieces.unk_id() not in pieces.piece_to_id(_OTHERS):
        raise CheckpointError(
            f"{path} is a vocabulary of ChatGLM-6B, but config.json beside it describes GLM: "
            "copy both from the same checkpoint."
        )
    return pieces
