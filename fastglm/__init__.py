"""FAST-ChatGLM: load, compress and run ChatGLM fast.

Importing this package registers ChatGLM with transformers, so that its Auto classes read every supported checkpoint.
"""

from .compress import compress
from .generation.piece import Piece
from .generation.stream import stream
from .models import register
from .variants.load import load

__version__ = "0.1.0"
__all__ = ["Piece", "compress", "load", "stream"]

register()
