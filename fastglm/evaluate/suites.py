"""What a model can be evaluated on, by name."""

from collections.abc import Callable
from typing import Any

from ..errors import UsageError
from ..progress import OnProgress
from .openended import OpenReport, evaluate_open, open_questions
from .skills import SkillsReport, evaluate_skills, held_out_questions

Suite = Callable[[Any, Any, int, OnProgress | None], SkillsReport | OpenReport]

SUITES: dict[str, Suite] = {
    "skills": lambda model, tokenizer, each, progress: evaluate_skills(
        model, tokenizer, held_out_questions(each), progress
    ),
    "open": lambda model, tokenizer, each, progress: evaluate_open(model, tokenizer, open_questions(each), progress),
}


def choose_suites(names: str) -> list[str]:
    """The suites of a list with commas; UsageError where there is no such suite."""
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in chosen:
        if name not in SUITES:
            raise UsageError(f"There is no suite {name!r}: choose from {', '.join(SUITES)}.")
    return chosen
