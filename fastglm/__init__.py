"""FAST-ChatGLM: load, compress and run ChatGLM fast.

Importing this package registers ChatGLM with transformers, so that its Auto classes read every supported checkpoint.
It imports neither torch nor transformers itself: its public names do, when they are used.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__
from .compress import compress
from .models import registration
from .models.streamer import hand_down

if TYPE_CHECKING:
    from .generation.piece import Piece
    from .generation.stream import stream
    from .variants.load import load

__all__ = ["Piece", "compress", "load", "stream"]

_MODULES = {"Piece": ".generation.piece", "load": ".variants.load", "stream": ".generation.stream"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULES[name], __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _stream(*arguments: Any, **settings: Any) -> "Iterator[Piece]":
    """Stream for a model's own `stream_chat`, which lies below `generation`."""
    from .generation.stream import stream

    return stream(*arguments, **settings)


registration.install()
hand_down(_stream)
