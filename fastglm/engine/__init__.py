"""Engines: how a loaded model is run. Both yield token ids, and both leave when they are closed."""

from .eager import EagerEngine
from .fast import FastEngine
from .sampling import Sampling

ENGINES: dict[str, type[EagerEngine] | type[FastEngine]] = {"eager": EagerEngine, "fast": FastEngine}
__all__ = ["ENGINES", "EagerEngine", "FastEngine", "Sampling"]
