"""The vocabulary file of ChatGLM-6B, `ice_text.model`: a sentencepiece model, completed if it is an early one.

The files of March 2023 end before the control tokens; the tokenizer of that time appended these, then a token for tabs,
tokens for runs of spaces, and the 256 bytes.
"""

from collections.abc import Iterable
from pathlib import Path

from sentencepiece import SentencePieceProcessor
from sentencepiece import sentencepiece_model_pb2 as proto

from ...errors import CheckpointError
from ...system.files import read_regular

CONTROL_TOKENS = ("[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>")
# The special tokens of every vocabulary file; a user's own are added to them.
BUILT_IN = frozenset((*CONTROL_TOKENS, "<pad>", "<unk>", "<s>", "</s>"))
NEWLINE = "<n>"
_WHITESPACE = ("<|tab|>", *(f"<|blank_{length}|>" for length in range(2, 81)))
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_LARGEST = 64 << 20  # bytes of a file; the published one has 2.7 MB
_PIECE = proto.ModelProto.SentencePiece


def read_pieces(path: Path) -> SentencePieceProcessor:
    """Read a vocabulary file, ready to encode and decode. Raises CheckpointError if it is not ChatGLM-6B's."""
    try:
        pieces = SentencePieceProcessor(model_proto=read_regular(path, _LARGEST))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): fetch the file again.") from error
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} is not a sentencepiece model (an incomplete download?): fetch it again."
        ) from error
    if not _has(pieces, (NEWLINE, "<pad>")):
        raise CheckpointError(f"{path} has no {NEWLINE} or no <pad>: use the file of a ChatGLM-6B checkpoint.")
    if not _has(pieces, CONTROL_TOKENS):
        pieces = SentencePieceProcessor(model_proto=read_model(path).SerializeToString())
    return pieces


def read_model(path: Path) -> proto.ModelProto:
    """Read a vocabulary file as `read_pieces` does, in sentencepiece's own message, which can be changed."""
    model = proto.ModelProto()
    model.ParseFromString(path.read_bytes())
    there = {piece.piece for piece in model.pieces}
    if not there.issuperset(CONTROL_TOKENS):
        for pieces, kind in ((CONTROL_TOKENS + _WHITESPACE, _PIECE.USER_DEFINED), (_BYTES, _PIECE.BYTE)):
            model.pieces.extend(_PIECE(piece=piece, score=0.0, type=kind) for piece in pieces if piece not in there)
        model.trainer_spec.byte_fallback = True
    return model


def _has(pieces: SentencePieceProcessor, names: Iterable[str]) -> bool:
    return pieces.unk_id() not in pieces.piece_to_id(list(names))
