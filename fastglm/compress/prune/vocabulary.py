"""Vocabulary pruning: removes tokens that given texts and the chat itself never use; the texts read as before.

Only ChatGLM-6B's tokenizer is known here (`vocabulary_can_shrink`). Tokens that are not learned pieces stay: control
tokens, line breaks and runs of spaces, bytes. A character without its piece is spelled in bytes, so every text can
still be written; if a vocabulary has no bytes, all its single characters stay.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from sys import maxsize
from typing import Any

import torch
from sentencepiece import sentencepiece_model_pb2 as proto
from torch import Tensor

from ...errors import CheckpointError, UsageError
from ...history import of_rounds
from ...messages import Message
from ...models.chatglm.architecture import CHATGLM_6B
from ...models.chatglm.tokenizer import ChatGLM6BTokenizer
from ...models.chatglm.vocabulary import CONTROL_TOKENS, read_model
from ...models.checkpoint import Checkpoint
from ...models.packing import encode
from ...models.registered_tokenizers import ChatGLMTokenizer
from ...progress.progress import OnProgress
from ...system.files import read_json
from ...text_files import Text
from ..checkpoint_writer import new_folder, open_plain, stored_tensors, write_checkpoint
from ..size import predict_size
from .report import Pruned

STEP = 64  # multiple to which rows are filled up with the likeliest of the other tokens
ROUNDS = 100  # rounds whose numbers a conversation can write
_NORMAL = proto.ModelProto.SentencePiece.NORMAL
_ID_FIELDS = ("bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id", "gmask_token_id")
_CONFIG, _PIECES = CHATGLM_6B.tokenizer_files


def prune_vocabulary(source: Path, out: Path, texts: Sequence[Text], progress: OnProgress | None = None) -> Pruned:
    """Write `source` with the tokens that `texts` use, as first rounds or later ones; `out` appears when it is
    complete.

    Lossless for the texts: their pieces stay the same, and so do the logits of the remaining tokens. Memory: the
    largest tensor. `details`: the numbers of tokens before and after, and of needed tokens.

    Raises:
        UsageError: `out` exists, `source` is quantized, no texts, or every token is used.
        DiskShortError: the disk has no space for `out`.
        CheckpointError: the checkpoint or its tokenizer cannot be read.
    """
    checkpoint = open_plain(source, out)
    config = checkpoint.config
    if not texts:
        raise UsageError(
            "There are no texts to take the vocabulary from: give texts like those that the model will read."
        )
    tokenizer: Any = ChatGLMTokenizer.from_pretrained(source)
    if len(tokenizer) > tokenizer.vocab_size:
        raise UsageError(
            f"{source} has {len(tokenizer) - tokenizer.vocab_size} tokens that were added to its vocabulary: "
            "leave out the step prune-vocabulary."
        )
    model = read_model(Path(tokenizer.vocab_file))
    images = tokenizer.num_image_tokens
    config.pad_token_id = tokenizer.pad_token_id  # the only id about which a config may be wrong and still work
    fixed = [place for name in _ID_FIELDS for place in _as_list(getattr(config, name))]
    if bad := [place for place in fixed if not 0 <= place - images < len(model.pieces)]:
        raise CheckpointError(f"{source}: config.json names token {bad[0]}, which the tokenizer lacks.")
    needed = _needed(model, {place - images for place in _used(tokenizer, texts)} | {place - images for place in fixed})
    kept = sorted(_filled_up(model, needed))
    if len(kept) >= config.vocab_size:
        raise UsageError(f"The texts leave none of the {config.vocab_size} tokens out: there is nothing to remove.")
    smaller = deepcopy(config)
    smaller.vocab_size = len(kept)
    place = {images + piece: number for number, piece in enumerate(kept)}
    for name in _ID_FIELDS:
        value = getattr(config, name)
        setattr(smaller, name, [place[i] for i in value] if isinstance(value, list) else place.get(value))
    rows = torch.tensor(kept) + images
    with new_folder(out, checkpoint.size) as folder:
        write_checkpoint(folder, smaller, _with_rows(checkpoint, rows, progress))
        _write_tokenizer(model, kept, source, folder)
        _check_texts(tokenizer, ChatGLMTokenizer.from_pretrained(folder), place, texts)
    return Pruned(
        f"{config.vocab_size - len(kept):,} of {config.vocab_size:,} tokens removed",
        predict_size(config),
        predict_size(smaller),
        {"before": config.vocab_size, "after": len(kept), "needed": len(needed)},
    )


def kept_rows(before: Path, after: Path) -> Tensor:
    """The old ids of a pruned vocabulary's tokens, in the order of their new ids.

    Raises CheckpointError if the old vocabulary lacks one of them.
    """
    old, new = (ChatGLMTokenizer.from_pretrained(folder) for folder in (before, after))
    place = {piece.piece: number + old.num_image_tokens for number, piece in enumerate(_pieces(old))}
    try:
        return torch.tensor([place[piece.piece] for piece in _pieces(new)])
    except KeyError as unknown:
        raise CheckpointError(f"{after} has the token {unknown}, which {before} lacks.") from unknown


def _pieces(tokenizer: Any) -> Sequence[Any]:
    model = proto.ModelProto()
    model.ParseFromString(Path(tokenizer.vocab_file).read_bytes())
    return list(model.pieces)


def _as_list(value: int | list[int] | None) -> list[int]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _encoded(tokenizer: ChatGLM6BTokenizer, texts: Iterable[Text]) -> Iterator[list[int]]:
    """Every text in the forms that the model reads: alone, as a round of a longer conversation, and as plain text."""
    for text in texts:
        question, answer = text.messages[-1], Message("assistant", text.answer, text.calls)
        yield encode(tokenizer, text.messages, text.answer, maxsize, text.calls).tokens
        yield tokenizer.conversation.ids(tokenizer, [*text.messages, answer, question])
        yield tokenizer.encode(text.answer, add_special_tokens=False)


def _used(tokenizer: ChatGLM6BTokenizer, texts: Iterable[Text]) -> set[int]:
    """Ids used by the texts and by the frame of a conversation."""
    rounds = tokenizer.conversation.ids(tokenizer, of_rounds([("", "")] * ROUNDS, ""))
    return set(rounds).union(*_encoded(tokenizer, texts))


def _needed(model: proto.ModelProto, used: set[int]) -> set[int]:
    """The pieces that must stay so that all uses of `used` are still cut into the same pieces.

    Scores of control tokens and of unknown characters depend on the largest and the smallest score, so these two stay.
    If pieces are merged from smaller ones (BPE), the smaller ones stay too.
    """
    pieces = model.pieces
    normal = [number for number, piece in enumerate(pieces) if piece.type == _NORMAL]
    needed = used | set(range(len(pieces))).difference(normal)
    needed |= {number for number in normal if pieces[number].piece in CONTROL_TOKENS}
    needed |= {max(normal, key=lambda n: pieces[n].score), min(normal, key=lambda n: pieces[n].score)}
    if not model.trainer_spec.byte_fallback:
        needed |= {number for number in normal if len(pieces[number].piece) == 1}
    if model.trainer_spec.model_type == proto.TrainerSpec.BPE:
        parts = {part for number in needed for part in _parts(pieces[number].piece)}
        needed |= {number for number in normal if pieces[number].piece in parts}
    return needed


def _parts(piece: str) -> Iterator[str]:
    return (piece[i:j] for i in range(len(piece)) for j in range(i + 1, len(piece) + 1))


def _filled_up(model: proto.ModelProto, needed: set[int]) -> set[int]:
    others = [number for number in range(len(model.pieces)) if number not in needed]
    others.sort(key=lambda number: -model.pieces[number].score)
    return needed.union(others[: -len(needed) % STEP])


def _with_rows(checkpoint: Checkpoint, rows: Tensor, progress: OnProgress | None) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in stored_tensors(checkpoint, "cut the vocabulary", progress):
        yield name, tensor[rows] if name in checkpoint.names.ends else tensor.clone()


def _write_tokenizer(model: proto.ModelProto, kept: Sequence[int], source: Path, folder: Path) -> None:
    pieces = [model.pieces[number] for number in kept]
    smaller = proto.ModelProto()
    smaller.CopyFrom(model)
    del smaller.pieces[:]
    smaller.pieces.extend(pieces)
    smaller.trainer_spec.vocab_size = len(pieces)
    (folder / _PIECES).write_bytes(smaller.SerializeToString())
    config = read_json(source / _CONFIG) | {"num_image_tokens": 0}
    config.pop("added_tokens_decoder", None)  # ids by their old numbers; the names contain the same
    (folder / _CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_texts(before: Any, after: Any, place: dict[int, int], texts: Sequence[Text]) -> None:
    for old, new in zip(_encoded(before, texts), _encoded(after, texts), strict=True):
        if [place[token] for token in old] != new:
            raise CheckpointError("This tokenizer reads the texts differently without the other tokens: keep them all.")
