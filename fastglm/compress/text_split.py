"""Texts for a compression, split into learning texts and held-out texts for scoring."""

from collections.abc import Sequence
from functools import cached_property

from ..errors import UsageError
from ..text_files import Text
from .text_source import demo_held_out, demo_samples, demo_vocabulary

Texts = Sequence[Text] | str  # the name of an embedded model stands for its world

EVERY = 10  # one text of this many is held out
MOST = 128  # most held-out texts
DEMO_SAMPLES = 320  # of a demo model's world, to see by what matters
DEMO_FITTED = 1280  # to fit numbers to, which must also suit other texts


class Split:
    """Texts of a file, every tenth of which is held out; or texts of a demo model's world, which has its own held-out
    texts.
    """

    def __init__(self, texts: Texts) -> None:
        """Split the texts. Raises UsageError if there are none."""
        if not texts:
            raise UsageError("There are no texts in the list: give some, or leave texts out.")
        self.given = texts

    @cached_property
    def held_out(self) -> list[Text]:
        """Texts for scoring."""
        if isinstance(self.given, str):
            return demo_held_out(MOST, self.given)
        return list(self.given[::EVERY][:MOST])

    @cached_property
    def learn(self) -> Texts:
        """Texts for learning; a demo model's world has no end."""
        if isinstance(self.given, str):
            return self.given
        held_out = {repr(text) for text in self.held_out}  # a file may contain a text twice
        return [text for text in self.given if repr(text) not in held_out]

    @cached_property
    def calibrate(self) -> list[Text]:
        """Texts that show which numbers matter."""
        return self._some(DEMO_SAMPLES)

    @cached_property
    def fit(self) -> list[Text]:
        """Texts to fit a quantization to; these are more."""
        return self._some(DEMO_FITTED)

    @cached_property
    def vocabulary(self) -> list[Text]:
        """Texts whose tokens must stay."""
        return demo_vocabulary() if isinstance(self.learn, str) else list(self.learn)

    def _some(self, count: int) -> list[Text]:
        """Learning texts: `count` of a world without end, or all."""
        return demo_samples(count, world=self.learn) if isinstance(self.learn, str) else list(self.learn)
