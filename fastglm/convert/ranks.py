"""Vocabularies of tiktoken, bytes with ranks, as `tokenizers.Tokenizer`: the same ids for the same text."""

from functools import cache
from typing import TYPE_CHECKING

from .pieces import merges_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def to_tokenizer(ranks: dict[bytes, int], control: dict[str, int]) -> "Tokenizer":
    """Make a tokenizer of ranks.

    Args:
        control: ids of the control tokens that the checkpoint adds to the ranks.
    """
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    from ..models.glm.ranks import WORDS

    vocabulary = {written(token): rank for token, rank in ranks.items()}
    merges = [(written(left), written(right)) for left, right in merges_of(ranks)]
    made = Tokenizer(BPE(vocabulary | control, merges, ignore_merges=True))
    cut = pre_tokenizers.Split(Regex(WORDS), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    return made


def written(token: bytes) -> str:
    """Bytes as the printable characters that stand for them in tokenizer.json and GGUF files."""
    return "".join(map(_letters().__getitem__, token))


@cache
def _letters() -> dict[int, str]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return bytes_to_unicode()
