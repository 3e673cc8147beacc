"""The vocabulary of a checkpoint in a GGUF file."""

import logging
from typing import Any

from .pieces import BYTE, CONTROL, NORMAL, UNUSED, USER_DEFINED, is_unigram, merges_of, user_defined
from .ranks import written
from .source import Source
from .tokenizer_files import chat_template

log = logging.getLogger(__name__)


def add_vocabulary(writer: Any, source: Source) -> None:
    """Add tokens, merges or scores, control tokens and the chat template to a file."""
    tokens, types = _add_ranks(writer, source) if source.vocabulary.ranks else _add_pieces(writer, source)
    for number, token in source.vocabulary.added.items():
        if types[number] == UNUSED:
            tokens[number], types[number] = token.content, CONTROL if token.special else USER_DEFINED
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    _add_control(writer, source)
    writer.add_chat_template(chat_template(source))


def _add_ranks(writer: Any, source: Source) -> tuple[list[str], list[int]]:
    ranks = source.vocabulary.ranks
    assert ranks is not None
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("glm4")
    writer.add_token_merges([f"{written(left)} {written(right)}" for left, right in merges_of(ranks)])
    tokens, types = _unused(source)
    for token, rank in ranks.items():
        tokens[rank], types[rank] = written(token), NORMAL
    return tokens, types


def _add_pieces(writer: Any, source: Source) -> tuple[list[str], list[int]]:
    model = source.vocabulary.model
    rules = model.normalizer_spec
    writer.add_tokenizer_model("t5" if is_unigram(model) else "llama")
    writer.add_tokenizer_pre("default")
    writer.add_add_space_prefix(rules.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(rules.remove_extra_whitespaces)
    if rules.precompiled_charsmap:
        writer.add_precompiled_charsmap(rules.precompiled_charsmap)
    tokens, types = _unused(source)
    scores = [0.0] * len(tokens)
    names = {token.content for number, token in source.vocabulary.added.items() if number >= len(model.pieces)}
    for number, piece in enumerate(model.pieces):
        if piece.piece in names:
            continue  # llama.cpp wants names to differ, and texts have no such piece
        tokens[number], types[number], scores[number] = piece.piece, piece.type, piece.score
    if is_unigram(model):
        _spell_bytes(model, tokens, types, scores)
    elif user_defined(model):
        log.warning("llama.cpp puts a space behind pieces such as %r in this model.", user_defined(model)[0])
    writer.add_token_scores(scores)
    return tokens, types


def _spell_bytes(model: Any, tokens: list[str], types: list[int], scores: list[float]) -> None:
    """Make characters of the pieces that stand for single bytes, which llama.cpp finds in no text of such a model."""
    worst = min(piece.score for piece in model.pieces if piece.type == NORMAL)
    for number, piece in enumerate(model.pieces):
        code = int(piece.piece[3:-1], 16) if piece.type == BYTE else 0
        if 0 < code < 128 and chr(code) not in (" ", *tokens):
            tokens[number], types[number], scores[number] = chr(code), NORMAL, worst
    log.warning("llama.cpp takes every character that has no piece of its own for an unknown one in this model.")


def _unused(source: Source) -> tuple[list[str], list[int]]:
    """Tokens that no text contains, one for each row of the embedding."""
    size = source.config.vocab_size
    return [f"[PAD{number}]" for number in range(size)], [int(UNUSED)] * size


def _add_control(writer: Any, source: Source) -> None:
    """Add the ids that llama.cpp knows by their use. A prompt begins as its chat template says, with no other token."""
    end, *other_ends = source.vocabulary.ends
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(source.vocabulary.pad)
    for add, number in zip((writer.add_eot_token_id, writer.add_eom_token_id), other_ends, strict=False):
        add(number)
    if source.vocabulary.model:
        writer.add_unk_token_id(source.vocabulary.pad)  # a checkpoint with pieces fills rows up with it
