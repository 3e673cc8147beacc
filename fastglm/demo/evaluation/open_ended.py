"""The open suite: advice, stories and poems, sampled as a chat would, judged by their form.

There is no one right story. What can be counted: that it ends by itself, is long enough, says no sentence twice, that
that many stories are not one story (distinct-4).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...evaluate.answers import answers
from ...progress.progress import OnProgress
from ..corpus import held_out_samples
from ..skills import LANGUAGES, SKILLS, Sample
from .skills import SEED, SPLITS
from .texts import distinct, repeated_sentences, units

LONGEST_ANSWER = 300  # tokens
TEMPERATURE = 0.95
ORDER = 4  # of the n-grams counted


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A held-out wish for a text, and the text."""

    skill: str
    sample: Sample
    answer: str | None = None  # None where it did not come to an end


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What the suite found."""

    questions: list[OpenQuestion]
    seconds: float

    def as_text(self) -> str:
        """A table for people."""
        return "\n".join(
            f"{skill:10} {language}  " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
            for skill, languages in self.as_json()["skill"].items()
            for language, figures in languages.items()
        )

    def as_json(self) -> dict[str, Any]:
        """Figures by skill and language, and every question with its answer."""
        return {
            "seconds": self.seconds,
            "skill": {
                skill: {language: _form(self._texts(skill, language)) for language in LANGUAGES}
                for skill in dict.fromkeys(q.skill for q in self.questions)
            },
            "answers": [
                {"skill": q.skill, "language": q.sample.language, "question": q.sample.question, "answer": q.answer}
                for q in self.questions
            ],
        }

    def _texts(self, skill: str, language: str) -> list[str | None]:
        return [q.answer for q in self.questions if (q.skill, q.sample.language) == (skill, language)]


def open_questions(each: int) -> list[OpenQuestion]:
    """Up to `each` held-out wishes of every open skill, split and language."""
    return [
        OpenQuestion(skill.name, sample)
        for skill in SKILLS
        if skill.kind == "open"
        for split in SPLITS
        for language in LANGUAGES
        for sample in held_out_samples(SEED, skill, split, language, each)
    ]


def evaluate_open(
    model: Any, tokenizer: Any, questions: Sequence[OpenQuestion], progress: OnProgress | None = None
) -> OpenReport:
    """Samples a text for each wish, with a fixed seed."""
    began = time.perf_counter()
    asked = [(q.sample.history, q.sample.question) for q in questions]
    found = answers(model, tokenizer, asked, LONGEST_ANSWER, TEMPERATURE, SEED, progress)
    answered = [OpenQuestion(q.skill, q.sample, text) for q, text in zip(questions, found, strict=True)]
    return OpenReport(answered, time.perf_counter() - began)


def _form(texts: Sequence[str | None]) -> dict[str, float]:
    """Figures of texts of one kind; lengths in characters, all others shares."""
    ended = [text for text in texts if text]
    return {
        "n": len(texts),
        "ended": len(ended) / len(texts),
        "shortest": min(map(len, ended), default=0),
        "without_repetition": sum(not repeated_sentences(text) for text in ended) / len(texts),
        f"distinct_{ORDER}": distinct(ended, ORDER, units),
    }
