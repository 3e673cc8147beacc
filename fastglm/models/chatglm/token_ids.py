"""Ids of the control tokens: from the config, completed, and compared with the vocabulary file beside it.

In every published vocabulary the control tokens follow each other, after 130000 pieces of text and, in the first
checkpoints (150528 tokens), after 20000 image tokens too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from sentencepiece import SentencePieceProcessor

from ...errors import CheckpointError
from ...system.files import read_json
from .vocabulary import CONTROL_TOKENS

if TYPE_CHECKING:
    from .config import ChatGLM6BConfig
    from .tokenizer import ChatGLM6BTokenizer

IMAGE_TOKENS = 20000
# Fields of a config and their tokens; later ids follow from the known ones.
_TOKENS = {"bos_token_id": "<sop>", "gmask_token_id": "[gMASK]", "mask_token_id": "[MASK]", "eos_token_id": "<eop>"}
_PLACED = ("bos_token_id", "gmask_token_id", "mask_token_id")
ID_FIELDS = (*_TOKENS, "pad_token_id")
_TEXT = 130000  # pieces before [MASK] as published
_PAD = 3
_PUBLISHED = {_TEXT + 528: 0, _TEXT + IMAGE_TOKENS + 528: IMAGE_TOKENS}  # image tokens by the size of the vocabulary

Ids = dict[str, int | list[int]]


def complete_ids(fields: Mapping[str, Any]) -> Ids:
    """Ids of the control tokens that a config lacks, or has only for the other published vocabulary."""
    said, size = said_ids(fields), fields.get("vocab_size")
    firsts = {_first(said, name) for name in _PLACED} - {None}
    if not firsts and size not in _PUBLISHED:
        firsts = {_first(said, "eos_token_id")} - {None}
    first = firsts.pop() if len(firsts) == 1 else None
    if first is None:
        first = _TEXT + (IMAGE_TOKENS if _has_room_for_images(fields) else 0)
    found = {name: first + CONTROL_TOKENS.index(token) for name, token in _TOKENS.items()}
    found["pad_token_id"] = _PAD + (IMAGE_TOKENS if first == _TEXT + IMAGE_TOKENS else 0)
    if _is_id(size) and found["eos_token_id"] >= size:
        del found["eos_token_id"]  # unknown: no token ends an answer
    unsaid: Any = (None, [], *range(_TEXT, _TEXT + 8), *range(_TEXT + IMAGE_TOKENS, _TEXT + IMAGE_TOKENS + 8), _PAD)
    return {name: id for name, id in found.items() if name not in said and fields.get(name) in unsaid}


def said_ids(fields: Mapping[str, Any]) -> Ids:
    """Ids in the fields of a config that are possible.

    Ids outside the vocabulary come from a config that was written for another one. A vocabulary of a published size has
    the published ids. A config of 150528 tokens that the later published code saved again has that code's defaults,
    20000 too low, for each id that it lacked before.
    """
    size = fields.get("vocab_size")
    if not _is_id(size):
        return {}
    ids: Ids = {}
    for name in ID_FIELDS:
        value: Any = fields.get(name)
        if value != [] and all(_is_id(id) and id < size for id in (value if isinstance(value, list) else [value])):
            ids[name] = value
    defaults = {name: _TEXT + CONTROL_TOKENS.index(token) for name, token in _TOKENS.items()} | {"pad_token_id": _PAD}
    if size in _PUBLISHED:
        meant = {name: (defaults[name], defaults[name] + IMAGE_TOKENS) for name in _PLACED}
        ids = {name: id for name, id in ids.items() if id in meant.get(name, [id])}
    if _has_room_for_images(fields) and ids.get("bos_token_id") != defaults["bos_token_id"]:
        ids = {name: id for name, id in ids.items() if id != defaults[name]}
    return ids


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _has_room_for_images(fields: Mapping[str, Any]) -> bool:
    size = fields.get("vocab_size")
    return _is_id(size) and size >= _TEXT + IMAGE_TOKENS + len(CONTROL_TOKENS)


def _first(said: Ids, name: str) -> int | None:
    """The id of [MASK], the first control token; None if the control tokens cannot follow each other."""
    id, place = said.get(name), CONTROL_TOKENS.index(_TOKENS[name])
    return id - place if isinstance(id, int) and id >= place else None


@dataclass(frozen=True, slots=True)
class Beside:
    """Facts of the config beside a vocabulary file."""

    path: Path
    vocab_size: int
    ids: Ids

    def image_tokens(self, said: int | None, pieces: SentencePieceProcessor) -> int:
        """The number of image tokens before the pieces; `said` is the number in the tokenizer's own config.

        Raises:
            CheckpointError: the pieces and the config belong to different checkpoints.
        """
        places = {name: pieces.piece_to_id(_TOKENS[name]) for name in _PLACED}
        found = {id - places[name] for name, id in self.ids.items() if name in places and isinstance(id, int)}
        if not found and said is not None and said + len(pieces) <= self.vocab_size:
            found = {_PUBLISHED.get(self.vocab_size, said)}
        elif not found:
            room = IMAGE_TOKENS + len(pieces) <= self.vocab_size
            found = {_PUBLISHED.get(self.vocab_size, IMAGE_TOKENS if room else 0)}
        images = min(found)
        if len(found) > 1 or images not in (0, IMAGE_TOKENS, said) or images + len(pieces) > self.vocab_size:
            ids = ", ".join(f"{token} at {self.ids[name]}" for name, token in _TOKENS.items() if name in self.ids)
            raise CheckpointError(
                f"{self.path} ({self.vocab_size} tokens, {ids}) and the vocabulary file beside it ({len(pieces)} "
                f"tokens, <sop> at {places['bos_token_id']}) are not of the same model: fetch both again."
            )
        return images

    def end_token(self, names: Sequence[str], token: Callable[[int], str | None]) -> str:
        """The token that ends an answer, one of `names` if the config allows it.

        token: the token of an id, None if there is none.

        Raises:
            CheckpointError: the config ends answers at no token.
        """
        said = self.ids.get("eos_token_id")
        if said is None:
            return _TOKENS["eos_token_id"]
        ends = [end for end in map(token, said if isinstance(said, list) else [said]) if end]
        if not ends:
            raise CheckpointError(
                f"{self.path} ends answers at token {said}, which the tokenizer lacks: correct eos_token_id there."
            )
        return next((name for name in names if name in ends), ends[0])


def read_beside(vocabulary: Path) -> Beside | None:
    """Facts of the config beside a vocabulary file; None if there is none, or one of another kind of model."""
    path = vocabulary.with_name("config.json")
    if not path.is_file():
        return None
    fields = read_json(path)
    size = fields.get("vocab_size")
    if fields.get("model_type") != "chatglm" or not _is_id(size):
        return None
    return Beside(path, size, said_ids(fields))


def settle(arguments: Mapping[str, Any], pieces: SentencePieceProcessor, vocabulary: Path) -> dict[str, Any]:
    """A tokenizer's arguments from its files, made consistent with the vocabulary file and the config beside it.

    Raises:
        CheckpointError: they belong to different checkpoints.
    """
    said = arguments.get("num_image_tokens")
    if said is not None and not _is_id(said):
        raise CheckpointError(f"tokenizer_config.json: num_image_tokens is {said!r}; it must be 0 or more.")
    beside = read_beside(vocabulary)
    images = beside.image_tokens(said, pieces) if beside else IMAGE_TOKENS if said is None else said
    moved = 0 if said is None else images - said
    added = {
        _place(str(token), pieces, id + moved, images): token
        for id, token in (arguments.get("added_tokens_decoder") or {}).items()
    }
    special = {**arguments, **(arguments.get("model_specific_special_tokens") or {})}
    # The first checkpoints name the end of an answer, <eop>, separately, and have </s> as their eos_token.
    names = [str(special[name]) for name in ("eop_token", "eos_token") if special.get(name)]

    def token(id: int) -> str | None:
        if id in added:
            return str(added[id])
        return pieces.id_to_piece(id - images) if 0 <= id - images < len(pieces) else None

    end = beside.end_token(names, token) if beside else (names or [_TOKENS["eos_token_id"]])[0]
    return {**arguments, "num_image_tokens": images, "eos_token": end, "added_tokens_decoder": added}


def _place(token: str, pieces: SentencePieceProcessor, id: int, images: int) -> int:
    """The id of an added token: its piece's id if it is a piece, otherwise `id`."""
    piece = pieces.piece_to_id(token)
    return id if pieces.id_to_piece(piece) != token else images + piece


def agree(config: "ChatGLM6BConfig", tokenizer: "ChatGLM6BTokenizer") -> None:
    """Give a config the ids of its tokenizer.

    Raises:
        CheckpointError: the tokenizer has more tokens than the model.
    """
    if len(tokenizer) > config.vocab_size:
        raise CheckpointError(
            f"The tokenizer has {len(tokenizer)} tokens, the model {config.vocab_size}: add rows for the others with "
            "model.resize_token_embeddings(len(tokenizer)), and save it again."
        )
    for name in _PLACED:
        setattr(config, name, tokenizer.convert_tokens_to_ids(_TOKENS[name]))
    config.pad_token_id = tokenizer.pad_token_id
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if tokenizer.eos_token_id not in ends:
        config.eos_token_id = tokenizer.eos_token_id
