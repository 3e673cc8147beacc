"""The bytes that a token of a vocabulary stands for: the text of an answer is their concatenation.

Byte pairs, and bytes where sentencepiece falls back to them, may hold a part of a character.
"""

import re
from collections.abc import Sequence
from typing import Any

from sentencepiece import SentencePieceProcessor
from tokenizers.decoders import Decoder
from transformers.convert_slow_tokenizer import bytes_to_unicode

_SPACE = "\u2581"  # a space in sentencepiece's pieces
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_BYTES = {letter: byte for byte, letter in bytes_to_unicode().items()}  # a printable letter for each byte


def of_piece(pieces: SentencePieceProcessor, id: int) -> bytes:
    """The bytes of a piece; none for a control piece. A space before the first word of a text is one of them."""
    if pieces.is_control(id) or pieces.is_unknown(id) or pieces.is_unused(id):
        return b""
    return _spelled(pieces.id_to_piece(id), pieces.is_byte(id))


def of_names(names: Sequence[str | None], decoder: Decoder) -> list[bytes]:
    """The bytes of tokens by their names in a file tokenizer.json and the file's decoder; none without a name."""
    if b'"ByteLevel"' in _state(decoder):
        return [bytes(_BYTES[letter] for letter in name or "") for name in names]
    return [_spelled(name or "", _BYTE.fullmatch(name or "") is not None) for name in names]


def _spelled(name: str, is_byte: bool) -> bytes:
    return bytes([int(name[3:5], 16)]) if is_byte else name.replace(_SPACE, " ").encode()


def _state(decoder: Any) -> bytes:
    """The kinds and settings of a decoder, as JSON."""
    return decoder.__getstate__()
