"""Engines: how a loaded model is run. Both yield token ids, and both leave when they are closed."""

from .batch import BatchEngine
from .eager import EagerEngine
from .fast import FastEngine
from .sampling import GREEDY, Sampling
from .speculative import SpeculativeEngine

ENGINES: dict[str, type[EagerEngine] | type[FastEngine] | type[SpeculativeEngine]] = {
    "eager": EagerEngine,
    "fast": FastEngine,
    "speculative": SpeculativeEngine,
}
__all__ = ["ENGINES", "GREEDY", "BatchEngine", "EagerEngine", "FastEngine", "Sampling", "SpeculativeEngine"]
