"""Texts of the demo models' worlds, which `texts="demo"` stands for: the one module here that knows the demo.

`world` is the name of an embedded model.
"""

from collections.abc import Iterator
from itertools import islice

from ..demo.corpus import training_samples, vocabulary_texts
from ..demo.evaluation.skills import held_out_questions
from ..demo.skills import skills_of
from ..text_files import Text


def demo_samples(count: int, seed: int = 0, world: str = "demo") -> list[Text]:
    """Rounds of a demo model's world, as it was trained on; none of them is held out."""
    return [sample.text for sample in islice(training_samples(seed, 0, skills=skills_of(world)), count)]


def demo_practice(seed: int, step: int, world: str) -> Iterator[Text]:
    """Endless rounds for a training step; every second step asks more often what is hard. None is held out."""
    samples = training_samples(seed, step, practising=step % 2 == 1, skills=skills_of(world))
    return (sample.text for sample in samples)


def demo_held_out(count: int, world: str) -> list[Text]:
    """Rounds that a demo model is never trained on."""
    return [question.sample.text for question in held_out_questions(1, skills_of(world))[:count]]


def demo_vocabulary() -> list[Text]:
    """Texts with every token that the demo models need."""
    return [Text([], "", text) for text in vocabulary_texts(0)]
