"""What a student learns from: texts, without end."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Protocol

from ..text_files import Text
from .text_source import demo_practice


class Corpus(Protocol):
    """A source of texts, the same ones for the same seed and step, so that a training can resume."""

    def draw(self, seed: int, step: int) -> Iterator[Text]:
        """The endless texts of a training step."""


class TextCorpus:
    """Texts of a file, in an order that is drawn anew for each step."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts = texts

    def draw(self, seed: int, step: int) -> Iterator[Text]:
        """Any of the texts, each as often as the others."""
        rng = Random(f"{seed} {step}")
        while True:
            yield rng.choice(self.texts)


class DemoCorpus:
    """The demo model's world: what it was trained on itself. Every second step asks more often what is hard."""

    def draw(self, seed: int, step: int) -> Iterator[Text]:
        """None of them is held out."""
        return demo_practice(seed, step)
