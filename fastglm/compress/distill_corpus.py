"""Endless texts for a student."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Protocol

from ..text_files import Text
from .text_source import demo_practice


class Corpus(Protocol):
    """A source of texts, equal for equal seed and step, so that a training can resume."""

    def draw(self, seed: int, step: int) -> Iterator[Text]:
        """The endless texts of a training step."""


class TextCorpus:
    """Texts of a file, in a new random order for each step."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts = texts

    def draw(self, seed: int, step: int) -> Iterator[Text]:
        """The texts of a step; each is as frequent as the others."""
        rng = Random(f"{seed} {step}")
        while True:
            yield rng.choice(self.texts)


class DemoCorpus:
    """Texts of a demo model's own training. Every second step draws the skills that are hard to learn more often."""

    def __init__(self, world: str = "demo") -> None:
        self.world = world

    def draw(self, seed: int, step: int) -> Iterator[Text]:
        """The texts of a step; none of them is held out."""
        return demo_practice(seed, step, self.world)
