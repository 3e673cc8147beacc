"""The vocabulary of a published checkpoint, with its control tokens and those that a user added."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.tokenizer_files import read_tokenizer
from . import pieces, ranks

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

# The published names stand in English words: a tokenizer.json takes every text for a control token that has its name.
_RENAMED = {"sop": "<sop>", "eop": "<eop>"}


@dataclass(frozen=True)
class Vocabulary:
    """Either a sentencepiece model or ranks of tiktoken, and the tokens beside them; neither for a tokenizer.json.

    added: by their ids; also pieces that are no text.
    """

    added: "dict[int, AddedToken]"
    pad: int  # fills rows up
    end: int  # ends a text
    ends: list[int]  # end an answer
    model: Any = None  # a `ModelProto`
    ranks: dict[bytes, int] | None = None

    def as_tokenizer(self) -> "Tokenizer":
        """A tokenizer that gives the same ids, a prompt's first two tokens included."""
        from tokenizers.processors import TemplateProcessing

        ids = {token.content: number for number, token in self.added.items()}
        made = ranks.to_tokenizer(self.ranks, ids) if self.ranks else pieces.to_tokenizer(self.model, ids)
        made.add_tokens(list(self.added.values()))
        end = self.added[self.end].content
        made.post_processor = TemplateProcessing(
            single="[gMASK] <sop> $A",
            pair=f"[gMASK] <sop> $A $B {end}",
            special_tokens=[(name, ids[name]) for name in ("[gMASK]", "<sop>", end)],
        )
        return made

    @property
    def control(self) -> list[str]:
        """Names of the control tokens."""
        return [token.content for token in self.added.values() if token.special]


def read_vocabulary(folder: Path, generation: str = "auto") -> Vocabulary:
    """Read the tokenizer of a checkpoint. Raises CheckpointError if it cannot be read."""
    tokenizer: Any = read_tokenizer(folder, generation)
    control = tokenizer.control_ids()
    known = {
        "added": {
            number: _renamed(token, token.content in control)
            for number, token in sorted(tokenizer.added_tokens_decoder.items())
        },
        "pad": tokenizer.pad_token_id,
        "end": tokenizer.eos_token_id,
        "ends": tokenizer.end_ids,
    }
    model = getattr(tokenizer, "model", None)
    if model is None:
        return Vocabulary(**known)
    if hasattr(model, "n_vocab"):  # tiktoken's
        return Vocabulary(**known, ranks={model.decode_single_token_bytes(rank): rank for rank in range(model.n_vocab)})
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    proto = ModelProto()
    proto.ParseFromString(model.serialized_model_proto())
    return Vocabulary(**known, model=proto)


def _renamed(token: "AddedToken", special: bool) -> "AddedToken":
    """The token as a tokenizer.json has it, under a name that is no part of words."""
    from tokenizers import AddedToken

    sides = {"single_word": token.single_word, "lstrip": token.lstrip, "rstrip": token.rstrip}
    name = _RENAMED.get(token.content, token.content)
    return AddedToken(name, special=special, normalized=False, **sides)
