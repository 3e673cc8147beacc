"""The suites that a model can be evaluated on, by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..compress.manifest import origin
from ..demo.evaluation.open_ended import evaluate_open, open_questions
from ..demo.evaluation.skills import EACH, SkillsReport, evaluate_skills, held_out_questions
from ..demo.skills import skills_of
from ..errors import FastGLMError, UsageError
from ..evaluate.arithmetic import Arithmetic
from ..models.source import find_source
from ..progress.progress import OnProgress

HARNESS = "lm-eval"


class Report(Protocol):
    """Results of a suite."""

    def as_text(self) -> str:
        """A text for people."""

    def as_json(self) -> dict[str, Any]:
        """Data for programs."""


Suite = Callable[[Any, Any, int | None, OnProgress | None, Arithmetic], Report]


def _skills(
    model: Any, tokenizer: Any, each: int | None, progress: OnProgress | None, arithmetic: Arithmetic
) -> SkillsReport:
    skills = skills_of(origin(find_source(model.fastglm.model)))
    return evaluate_skills(model, tokenizer, held_out_questions(each or EACH, skills), progress, arithmetic)


SUITES: dict[str, Suite] = {
    "skills": _skills,
    "open": lambda model, tokenizer, each, progress, _: evaluate_open(
        model, tokenizer, open_questions(each or EACH), progress
    ),
}


def choose_suites(names: str, folder: Path | None = None) -> dict[str, Suite]:
    """The suites of a comma-separated list; names after `lm-eval:` are tasks of the harness, or of `folder`.

    Raises `FastGLMError` for an unknown suite or task, or a task whose data cannot be read.
    """
    own, marked, tasks = names.partition(f"{HARNESS}:")
    listed = [name.strip() for name in own.split(",")]
    if marked and not listed[-1]:
        listed.pop()
    for name in listed:
        if name not in SUITES:
            raise UsageError(
                f"There is no suite {name!r}: choose from {', '.join(SUITES)}, and after them {HARNESS}:TASK[,TASK]."
            )
    if folder and not marked:
        raise UsageError(f"--tasks is for tasks of your own: name them in --suite {HARNESS}:TASK[,TASK].")
    chosen = {name: SUITES[name] for name in listed}
    if marked:
        asked = [name.strip() for name in tasks.split(",")]
        if not all(asked):
            raise UsageError(f"--suite {HARNESS}: wants names of tasks with commas between.")
        chosen[HARNESS] = _harness(asked, folder)
    return chosen


def _harness(names: list[str], folder: Path | None) -> Suite:
    try:
        from ..evaluate.harness import Tasks
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise FastGLMError(f"{HARNESS} needs {package}: pip install 'fastglm[eval]'.") from error
    return Tasks.load(names, folder).ask
