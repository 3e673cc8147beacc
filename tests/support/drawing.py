"""Samples of the demo's skills."""

from functools import lru_cache
from random import Random

from fastglm.demo.skills.base import Sample, Skill


@lru_cache(maxsize=8)
def drawn(skill: Skill, count: int = 4000, seed: int = 0) -> list[Sample]:
    """The same samples in every test."""
    rng = Random(seed)
    return [skill.sample(rng) for _ in range(count)]
