"""Sentencepiece vocabularies as `tokenizers.Tokenizer`: the same ids for the same text, control tokens aside."""

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # types of pieces in sentencepiece's format
_UNIGRAM, _BPE = 1, 2


def to_tokenizer(model: Any, control: dict[str, int]) -> "Tokenizer":
    """Make a tokenizer of a sentencepiece model.

    Args:
        model: a `ModelProto`.
        control: ids of the control tokens that the checkpoint adds to the pieces.

    Raises:
        CheckpointError: the model has rules that tokenizer.json cannot express.
    """
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers

    made = Tokenizer(_unigram(model, control) if is_unigram(model) else _bpe(model, control))
    if whole := user_defined(model):
        made.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(map(re.escape, whole))), "isolated")
    made.normalizer = _normalizer(model.normalizer_spec)
    parts = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if _has_prefix(model) else parts)
    return made


def is_unigram(model: Any) -> bool:
    """Tell whether texts are split by probabilities of pieces, not by merges.

    Raises:
        CheckpointError: they are split in another way.
    """
    kind = model.trainer_spec.model_type
    if kind not in (_UNIGRAM, _BPE):
        raise CheckpointError("Its tokenizer.model splits texts by words or characters, which no model of GLM does.")
    return bool(kind == _UNIGRAM)


def user_defined(model: Any) -> list[str]:
    """Pieces that a text is cut at before merging, longest first; a unigram model finds them by their scores."""
    whole = [] if is_unigram(model) else [piece.piece for piece in model.pieces if piece.type == USER_DEFINED]
    return sorted(whole, key=len, reverse=True)


def _has_prefix(model: Any) -> bool:
    return bool(model.normalizer_spec.add_dummy_prefix)


def _normalizer(rules: Any) -> "Normalizer":
    from tokenizers import Regex, normalizers

    steps: list[Normalizer] = []
    if rules.precompiled_charsmap:
        steps.append(normalizers.Precompiled(rules.precompiled_charsmap))
    if rules.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if rules.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def _bpe(model: Any, control: dict[str, int]) -> Any:
    from tokenizers.models import BPE

    _check_merges(model)
    ids = {piece.piece: number for number, piece in enumerate(model.pieces)}
    ranked = {piece.piece: (-piece.score, ids[piece.piece]) for piece in model.pieces if piece.type == NORMAL}
    return BPE(
        ids | control,
        merges_of(ranked),
        unk_token=_unknown(model),
        byte_fallback=model.trainer_spec.byte_fallback,
        ignore_merges=bool(user_defined(model)),  # no merges give these
    )


def merges_of(ranked: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """The merges, best first, that give every piece from any two others.

    Args:
        ranked: pieces, texts or bytes, with the order in which two neighbors become the piece.
    """
    by_rank = sorted((piece for piece in ranked if len(piece) > 1), key=ranked.__getitem__)
    return list(chain.from_iterable(_splits(piece, ranked) for piece in by_rank))


def _splits(piece: Any, ranked: dict[Any, Any]) -> list[tuple[Any, Any]]:
    pairs = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
    found = [(left, right) for left, right in pairs if left in ranked and right in ranked]
    return sorted(found, key=lambda pair: (ranked[pair[0]], ranked[pair[1]]))


def _check_merges(model: Any) -> None:
    """Raise CheckpointError for pieces that are not found by merging pieces alone."""
    known = {piece.piece for piece in model.pieces if piece.type == NORMAL}
    for piece in model.pieces:
        if piece.type == UNUSED:
            raise CheckpointError(f"Its tokenizer.model takes {piece.piece!r} apart, a rule that tokenizer.json lacks.")
        if piece.type == NORMAL and (lacking := set(piece.piece) - known):
            raise CheckpointError(
                f"Its tokenizer.model has {piece.piece!r} and not {min(lacking)!r}, which tokenizer.json would need."
            )


def _unigram(model: Any, control: dict[str, int]) -> Any:
    from tokenizers.models import Unigram

    best = max(piece.score for piece in model.pieces if piece.type == NORMAL)
    worst = min(piece.score for piece in model.pieces if piece.type == NORMAL)
    never = worst - 1e6  # no text is worth a piece that sentencepiece finds in no text
    scores = []
    for piece in model.pieces:
        if piece.type == USER_DEFINED:  # as sentencepiece scores them, so that nothing else is ever better
            scores.append((piece.piece, len(piece.piece.encode()) * best - 0.1))
        else:
            scores.append((piece.piece, piece.score if piece.type == NORMAL else never))
    scores += [(name, never) for name in control]
    unknown = next(number for number, piece in enumerate(model.pieces) if piece.type == UNKNOWN)
    return Unigram(scores, unk_id=unknown, byte_fallback=model.trainer_spec.byte_fallback)


def _unknown(model: Any) -> str:
    return next(str(piece.piece) for piece in model.pieces if piece.type == UNKNOWN)
