"""The open suite: advice, stories and poems, sampled as in a chat and judged by their form.

There is no single right story. Four properties can be counted: the text ends by itself, is long enough, repeats no
sentence, and many stories differ from each other (distinct-4).
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
    """A held-out request for a text, and the model's text."""

    skill: str
    sample: Sample
    answer: str | None = None  # None if it did not end by itself


@dataclass(frozen=True, slots=True)
class OpenReport:
    """Results of the open suite."""

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
    """Up to `each` held-out requests of every open skill, split and language."""
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
    """Sample a text for each request with a fixed seed."""
    began = time.perf_counter()
    asked = [q.sample.messages for q in questions]
    found = answers(model, tokenizer, asked, LONGEST_ANSWER, TEMPERATURE, SEED, progress)
    answered = [OpenQuestion(q.skill, q.sample, text) for q, text in zip(questions, found, strict=True)]
    return OpenReport(answered, time.perf_counter() - began)


def _form(texts: Sequence[str | None]) -> dict[str, float]:
    """Figures of one kind of texts: lengths in characters, everything else as shares."""
    ended = [text for text in texts if text]
    return {
        "n": len(texts),
        "ended": len(ended) / len(texts),
        "shortest": min(map(len, ended), default=0),
        "without_repetition": sum(not repeated_sentences(text) for text in ended) / len(texts),
        f"distinct_{ORDER}": distinct(ended, ORDER, units),
    }
