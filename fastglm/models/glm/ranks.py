"""The vocabulary file of GLM-4 and CodeGeeX4: byte pair ranks, each line with a token in base64 and its rank."""

import base64
import binascii
import re
from pathlib import Path

from tiktoken import Encoding

from ...errors import CheckpointError
from ...system.files import open_regular
from .tokenizer import read_vocabulary

_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\s")
# Words, numbers of up to three digits, punctuation, line breaks and spaces, as published.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def is_ranks(path: Path) -> bool:
    """Tell whether a file holds ranks, by its first line. Raises CheckpointError if it cannot be read."""
    try:
        with open_regular(path) as file:
            return _LINE.match(file.read(1024)) is not None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): fetch the file again.") from error


def read_ranks(path: str | Path | None) -> Encoding:
    """Read a file of ranks, ready to encode and decode. Raises CheckpointError if it holds something else."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_vocabulary(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise CheckpointError(
                f"{path}, line {number}: not a token in base64 and its rank (an incomplete download?): fetch it again."
            ) from error
    if sorted(ranks.values()) != list(range(len(ranks))) or any(bytes([byte]) not in ranks for byte in range(256)):
        raise CheckpointError(f"{path} lacks ranks or single bytes (an incomplete download?): fetch it again.")
    return Encoding("glm4", pat_str=WORDS, mergeable_ranks=ranks, special_tokens={})
