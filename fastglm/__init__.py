"""FAST-ChatGLM: load, compress and run ChatGLM fast.

Importing this package registers ChatGLM with transformers, so that its Auto classes read every supported checkpoint.
"""

from collections.abc import Iterator
from typing import Any

from .compress import compress
from .generation.piece import Piece
from .generation.stream import stream
from .models import register
from .models.streamer import hand_down
from .variants.load import load

__version__ = "0.1.0"
__all__ = ["Piece", "compress", "load", "stream"]

register()


def _stream(*arguments: Any, **settings: Any) -> Iterator[Piece]:
    """Streams for a model's own `stream_chat`, which lies below `generation`."""
    from .generation.stream import stream

    return stream(*arguments, **settings)


hand_down(_stream)
