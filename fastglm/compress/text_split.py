"""Texts for a compression, split into what it may see and what it is scored on."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from ..errors import UsageError
from ..text_files import Text
from .text_source import demo_held_out, demo_samples, demo_vocabulary

Texts = Sequence[Text] | Literal["demo"]

EVERY = 10  # of so many texts one is held out
MOST = 128  # that are held out
DEMO_SAMPLES = 320  # of the demo model's world, to see by what matters
DEMO_FITTED = 1280  # to fit numbers to, which must also suit other texts


class Split:
    """Of the texts of a file every tenth is held out; of the demo model's world what is never trained on."""

    def __init__(self, texts: Texts) -> None:
        """Raises UsageError: no texts."""
        if not texts:
            raise UsageError("There are no texts: give some, or none at all.")
        self.given = texts

    @cached_property
    def held_out(self) -> list[Text]:
        """To score on."""
        if self.given != "demo":
            return list(self.given[::EVERY][:MOST])
        return demo_held_out(MOST)

    @cached_property
    def learn(self) -> Texts:
        """To learn from; the demo model's world has no end."""
        if self.given == "demo":
            return "demo"
        held_out = {repr(text) for text in self.held_out}  # a file may have a text twice
        return [text for text in self.given if repr(text) not in held_out]

    @cached_property
    def calibrate(self) -> list[Text]:
        """To see by what matters."""
        return demo_samples(DEMO_SAMPLES) if self.learn == "demo" else list(self.learn)

    @cached_property
    def fit(self) -> list[Text]:
        """To fit a quantisation to, which takes more."""
        return demo_samples(DEMO_FITTED) if self.learn == "demo" else list(self.learn)

    @cached_property
    def vocabulary(self) -> list[Text]:
        """To keep the tokens of."""
        if self.learn != "demo":
            return list(self.learn)
        return demo_vocabulary()
