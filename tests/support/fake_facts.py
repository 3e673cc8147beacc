"""The facts of the model that obeys the prompt; a host process imports this module, and little with it."""

from typing import Any

from fastglm.progress.progress import OnProgress
from fastglm.serve.facts import ModelFacts

ROLES = ("system", "user", "assistant", "observation")


def fake_facts(model: Any, tokenizer: str, progress: OnProgress) -> ModelFacts:
    """The facts of the fake model: one with roles and tools, unless its name says otherwise."""
    has_roles = model.fastglm.model != "pairs"
    roles = ROLES if has_roles else ("user", "assistant")
    tokens = tuple(f"t{number}".encode() for number in range(100))
    return ModelFacts(roles, "glm4" if has_roles else None, ",", has_roles, tokens, 8 if has_roles else None)
