"""The ids of texts by the libraries that the published tokenizer files are made for."""

import base64
from collections.abc import Callable
from pathlib import Path

from sentencepiece import SentencePieceProcessor
from tiktoken import Encoding

# Published with GLM-4.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)


def original_ids(folder: Path) -> Callable[[str], list[int]]:
    """Encode texts by a checkpoint's tokenizer.model; nothing in them becomes a control token."""
    content = (folder / "tokenizer.model").read_bytes()
    try:
        rows = [line.split() for line in content.splitlines()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in rows}
    except ValueError:
        return SentencePieceProcessor(model_proto=content).encode
    return ranked_ids(ranks)


def ranked_ids(ranks: dict[bytes, int]) -> Callable[[str], list[int]]:
    """Encode texts by ranks, with GLM-4's cuts between words."""
    return Encoding("glm4", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens={}).encode_ordinary
