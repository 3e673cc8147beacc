"""Texts of the demo model's world, which `texts="demo"` stands for: the one module here that knows the demo."""

from collections.abc import Iterator
from itertools import islice

from ..demo.corpus import training_samples, vocabulary_texts
from ..demo.evaluation.skills import held_out_questions
from ..demo.skills import Sample
from ..text_files import Text


def demo_samples(count: int, seed: int = 0) -> list[Text]:
    """Rounds of the demo model's world, as it was trained on; none of them is held out."""
    return [_text(sample) for sample in islice(training_samples(seed, 0), count)]


def demo_practice(seed: int, step: int) -> Iterator[Text]:
    """Endless rounds for a training step; every second step asks more often what is hard. None is held out."""
    return map(_text, training_samples(seed, step, practising=step % 2 == 1))


def demo_held_out(count: int) -> list[Text]:
    """Rounds that the demo model is never trained on."""
    return [_text(question.sample) for question in held_out_questions(1)[:count]]


def demo_vocabulary() -> list[Text]:
    """Texts with every token that the demo model needs."""
    return [Text([], "", text) for text in vocabulary_texts(0)]


def _text(sample: Sample) -> Text:
    return Text(sample.history, sample.question, sample.answer)
