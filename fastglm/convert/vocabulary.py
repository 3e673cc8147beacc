"""The vocabulary of a published checkpoint: its tokenizer file, read, with the control tokens added to it."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from ..system.files import read_json, read_regular
from . import pieces, ranks

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LARGEST = 64 << 20  # bytes of a tokenizer's file
# The control tokens after the pieces. Published as sop and eop, which stand in English words: a tokenizer.json takes
# every text for a control token that has its name.
_CONTROL = ("[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>")
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")


@dataclass(frozen=True)
class Vocabulary:
    """Either a sentencepiece model or ranks of tiktoken, and the ids of the control tokens."""

    control: dict[str, int]
    model: Any = None  # a `ModelProto`
    ranks: dict[bytes, int] | None = None

    @property
    def end(self) -> str:
        """The token that ends a text."""
        return "<|endoftext|>" if self.ranks else "</s>"

    @property
    def ends(self) -> list[str]:
        """The tokens that end an answer."""
        return [self.end, *(name for name in ("<|user|>", "<|observation|>") if name in self.control)]

    @property
    def pad(self) -> str:
        """The token that fills rows up."""
        return "<|endoftext|>" if self.ranks else "<unk>"

    def as_tokenizer(self) -> "Tokenizer":
        """A tokenizer that gives the same ids, a prompt's first two tokens included."""
        from tokenizers import AddedToken
        from tokenizers.processors import TemplateProcessing

        made = (
            ranks.to_tokenizer(self.ranks, self.control)
            if self.ranks
            else pieces.to_tokenizer(self.model, self.control)
        )
        made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in self.ids])
        used = ("[gMASK]", "<sop>", self.end)
        made.post_processor = TemplateProcessing(
            single="[gMASK] <sop> $A",
            pair=f"[gMASK] <sop> $A $B {self.end}",
            special_tokens=[(name, made.token_to_id(name)) for name in used],
        )
        return made

    @property
    def ids(self) -> dict[str, int]:
        """Ids of all tokens that are not text, by their names."""
        if self.ranks:
            return self.control
        own = (pieces.UNKNOWN, pieces.CONTROL)
        return {p.piece: number for number, p in enumerate(self.model.pieces) if p.type in own} | self.control


def read_vocabulary(folder: Path, generation: str) -> Vocabulary:
    """Read the tokenizer of a checkpoint.

    Raises:
        CheckpointError: a file is missing or of another kind than the generation's.
    """
    path = folder / "tokenizer.model"
    try:
        content = read_regular(path, _LARGEST)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): fetch the file again.") from error
    if generation == "glm4":
        added = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
        control = {token["content"]: int(number) for number, token in added.items()}
        return Vocabulary(dict(sorted(control.items(), key=lambda item: item[1])), ranks=_read_ranks(path, content))
    model = _read_pieces(path, content)
    names = _CONTROL + _ROLES if generation == "chatglm3" else _CONTROL
    return Vocabulary({name: len(model.pieces) + number for number, name in enumerate(names)}, model=model)


def _read_ranks(path: Path, content: bytes) -> dict[bytes, int]:
    try:
        rows = [line.split() for line in content.splitlines() if line]
        return {base64.b64decode(token, validate=True): int(rank) for token, rank in rows}
    except ValueError as error:
        raise CheckpointError(f"{path} holds no ranks of tiktoken: fetch the file again.") from error


def _read_pieces(path: Path, content: bytes) -> Any:
    from sentencepiece import SentencePieceProcessor
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    try:
        SentencePieceProcessor(model_proto=content)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is no sentencepiece model: fetch the file again.") from error
    model = ModelProto()
    model.ParseFromString(content)
    return model
