"""Samples of the corpus as tokens."""

from ..models.architecture import Tokenizer
from ..models.packing import Example, encode
from .skills import Sample


def encoded(tokenizer: Tokenizer, sample: Sample, room: int) -> Example:
    """Encode a sample; the oldest rounds are left out until `room` tokens hold the rest."""
    return encode(tokenizer, sample.messages, sample.answer, room, sample.calls)
