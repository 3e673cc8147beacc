"""The skills suite: held-out questions of every skill, answered greedily, and the share of right answers."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...evaluate.answers import answers
from ...evaluate.arithmetic import Arithmetic, arithmetic_of
from ...evaluate.likelihood import Likelihood, likelihood
from ...progress.progress import OnProgress
from ..corpus import held_out_samples
from ..examples import encoded
from ..skills import LANGUAGES, SKILLS, Sample, Skill, Split
from ..skills.refusal import ANSWERS as REFUSALS

SPLITS: tuple[Split, ...] = ("new operands", "new phrasing")
LONGEST_ANSWER = 128  # tokens; right answers are shorter
EACH = 24  # questions of a skill, a split and a language
SEED = 0  # the questions are the same for every model and every training


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out question and a model's answer to it."""

    skill: Skill
    split: Split
    sample: Sample
    answer: str | None = None  # None if it did not end by itself

    @property
    def right(self) -> bool:
        """Tell whether the answer is right."""
        return self.answer is not None and self.skill.check(self.answer, self.sample.answer)

    @property
    def refused(self) -> bool:
        """Tell whether the model said that it cannot answer."""
        return self.answer in REFUSALS.values()


@dataclass(frozen=True, slots=True)
class SkillsReport:
    """Results of the skills suite."""

    questions: list[Question]
    likelihood: Likelihood
    arithmetic: Arithmetic  # arithmetic that the likelihood was computed in
    seconds: float

    def accuracy(self, **only: str) -> float:
        """Share of right answers, restricted to one `skill`, `split` or `language` if given."""
        chosen = [q for q in self.questions if only.items() <= _labels(q).items()]
        return sum(q.right for q in chosen) / len(chosen)

    @property
    def false_refusals(self) -> float:
        """Share of refusals among the questions that the model should be able to answer."""
        known = [q for q in self.questions if q.sample.answer not in REFUSALS.values()]
        return sum(q.refused for q in known) / len(known)

    def as_text(self) -> str:
        """A table for people."""
        found = self.as_json()
        lines = [f"{name:20} {row['value']:6.1%} of {row['n']}" for name, row in found["skill"].items()]
        for label in ("split", "language"):
            lines += [f"{name:20} {row['value']:6.1%} of {row['n']}" for name, row in found[label].items()]
        lines += [
            f"{'skill accuracy':20} {found['skill_accuracy']['value']:6.1%} of {found['skill_accuracy']['n']}",
            f"{'false refusals':20} {self.false_refusals:6.1%}",
            f"{'perplexity':20} {self.likelihood.perplexity:.4f} ({self.arithmetic} arithmetic)",
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Shares with their counts, overall and by skill, split and language, and every question with its answer."""
        return {
            "skill_accuracy": _share(self.questions),
            "false_refusals": self.false_refusals,
            "arithmetic": str(self.arithmetic),
            "perplexity": self.likelihood.perplexity,
            "bits_per_byte": self.likelihood.bits_per_byte([q.sample.answer for q in self.questions]),
            "seconds": self.seconds,
            **_by_label(self.questions, "split", "language"),
            "skill": {
                name: {**_share(mine), **_by_label(mine, "split", "language")}
                for name, mine in _grouped(self.questions, "skill").items()
            },
            "answers": [
                {
                    **_labels(q),
                    "history": q.sample.history,
                    "question": q.sample.question,
                    "expected": q.sample.answer,
                    "answer": q.answer,
                    "right": q.right,
                }
                for q in self.questions
            ],
        }


def held_out_questions(each: int = EACH, skills: Sequence[Skill] = SKILLS) -> list[Question]:
    """Up to `each` questions of every skill with right answers, for every split and language."""
    return [
        Question(skill, split, sample)
        for skill in skills
        if skill.kind != "open"
        for split in SPLITS
        for language in LANGUAGES
        for sample in held_out_samples(SEED, skill, split, language, each)
    ]


def evaluate_skills(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    progress: OnProgress | None = None,
    arithmetic: Arithmetic = Arithmetic.exact,
) -> SkillsReport:
    """Ask `questions` and count right answers. Answers are greedy, so the same model gives the same report.

    Args:
        arithmetic: for the likelihood of the right answers; the model's own answers are decoded as usual.
    """
    began = time.perf_counter()
    asked = [q.sample.messages for q in questions]
    found = answers(model, tokenizer, asked, LONGEST_ANSWER, progress=progress)
    answered = [Question(q.skill, q.split, q.sample, answer) for q, answer in zip(questions, found, strict=True)]
    likely = answers_likelihood(model, tokenizer, questions, arithmetic)
    return SkillsReport(answered, likely, arithmetic_of(model, arithmetic), time.perf_counter() - began)


def answers_likelihood(
    model: Any, tokenizer: Any, questions: Iterable[Question], arithmetic: Arithmetic = Arithmetic.exact
) -> Likelihood:
    """The likelihood of the right answers to `questions` under the model."""
    room = model.context_length
    examples = [encoded(tokenizer, q.sample, room) for q in questions]
    return likelihood(model, examples, arithmetic)


def _labels(question: Question) -> dict[str, str]:
    return {"skill": question.skill.name, "split": question.split, "language": question.sample.language}


def _grouped(questions: Iterable[Question], label: str) -> dict[str, list[Question]]:
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(_labels(question)[label], []).append(question)
    return groups


def _by_label(questions: Sequence[Question], *labels: str) -> dict[str, Any]:
    return {label: {name: _share(mine) for name, mine in _grouped(questions, label).items()} for label in labels}


def _share(questions: Sequence[Question]) -> dict[str, float]:
    return {"value": sum(q.right for q in questions) / len(questions), "n": len(questions)}
