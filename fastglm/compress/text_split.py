"""Texts for a compression, split into learning texts and held-out texts for scoring."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from ..errors import UsageError
from ..text_files import Text
from .text_source import demo_held_out, demo_samples, demo_vocabulary

Texts = Sequence[Text] | Literal["demo"]

EVERY = 10  # one text of this many is held out
MOST = 128  # most held-out texts
DEMO_SAMPLES = 320  # of the demo model's world, to see by what matters
DEMO_FITTED = 1280  # to fit numbers to, which must also suit other texts


class Split:
    """Texts of a file, every tenth of which is held out; or texts of the demo model's world, which has its own held-out
    texts.
    """

    def __init__(self, texts: Texts) -> None:
        """Split the texts. Raises UsageError if there are none."""
        if not texts:
            raise UsageError("There are no texts: give some, or none at all.")
        self.given = texts

    @cached_property
    def held_out(self) -> list[Text]:
        """Texts for scoring."""
        if self.given != "demo":
            return list(self.given[::EVERY][:MOST])
        return demo_held_out(MOST)

    @cached_property
    def learn(self) -> Texts:
        """Texts for learning; the demo model's world has no end."""
        if self.given == "demo":
            return "demo"
        held_out = {repr(text) for text in self.held_out}  # a file may contain a text twice
        return [text for text in self.given if repr(text) not in held_out]

    @cached_property
    def calibrate(self) -> list[Text]:
        """Texts that show which numbers matter."""
        return demo_samples(DEMO_SAMPLES) if self.learn == "demo" else list(self.learn)

    @cached_property
    def fit(self) -> list[Text]:
        """Texts to fit a quantization to; these are more."""
        return demo_samples(DEMO_FITTED) if self.learn == "demo" else list(self.learn)

    @cached_property
    def vocabulary(self) -> list[Text]:
        """Texts whose tokens must stay."""
        if self.learn != "demo":
            return list(self.learn)
        return demo_vocabulary()
