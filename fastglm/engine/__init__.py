"""Engines: ways to run a loaded model. All yield token ids, and stop when they are closed."""

from typing import Any

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


def engine_name(model: Any) -> str:
    """The engine a model was loaded for; a model from plain `from_pretrained` runs eagerly."""
    info = getattr(model, "fastglm", None)
    return info.engine if info else "eager"


__all__ = [
    "ENGINES",
    "GREEDY",
    "BatchEngine",
    "EagerEngine",
    "FastEngine",
    "Sampling",
    "SpeculativeEngine",
    "engine_name",
]
