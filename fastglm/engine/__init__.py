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


def engine_for(model: Any, sampling: Sampling, others: dict[str, Any]) -> EagerEngine | FastEngine | SpeculativeEngine:
    """A new engine for one answer of a model: its own if the settings allow, which `others` of transformers' `generate`
    do not; without drafts if they do not suit the sampling.
    """
    if others:
        return EagerEngine(model, others)
    name = engine_name(model)
    return ENGINES["fast" if name == "speculative" and not sampling.suits_drafts else name](model)


__all__ = [
    "ENGINES",
    "GREEDY",
    "BatchEngine",
    "EagerEngine",
    "FastEngine",
    "Sampling",
    "SpeculativeEngine",
    "engine_for",
    "engine_name",
]
