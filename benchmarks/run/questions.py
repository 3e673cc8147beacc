"""Questions of the quality suite: held-out questions of a demo model's world, or a user's own prompts and answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastglm.demo.skills import Skill
from fastglm.errors import UsageError
from fastglm.text_files import Text, read_rounds

if TYPE_CHECKING:  # pages read questions without torch
    from fastglm.evaluate.scoring import Asked


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its expected answer. `labels` classify it, for example by skill and language.

    A user's own question has no skill, because no rule knows which answers are right.
    """

    labels: Mapping[str, str]
    text: Text
    skill: Skill | None = None

    @property
    def asked(self) -> "Asked":
        """The question as `judge` takes it."""
        return self.text.messages, self.text.answer, self.text.calls

    def right(self, answer: str | None) -> bool | None:
        """Tell whether an answer is right; None if no rule can tell."""
        if self.skill is None:
            return None
        return answer is not None and self.skill.check(answer, self.text.answer)


def held_out(each: int, model: str = "demo") -> list[Question]:
    """Up to `each` questions of every skill, split and language; always the same ones.

    They are those of the demo model that `model` is or was made from, and of the first demo model for any other one.
    """
    from fastglm.compress.manifest import origin
    from fastglm.demo.evaluation.skills import held_out_questions
    from fastglm.demo.skills import skills_of
    from fastglm.models.source import find_source

    return [
        Question(
            {"skill": q.skill.name, "split": q.split, "language": q.sample.language},
            q.sample.text,
            q.skill,
        )
        for q in held_out_questions(each, skills_of(origin(find_source(model))))
    ]


def read_texts(path: Path) -> list[Question]:
    """Read the questions of a JSON Lines file: `{"prompt": …, "answer": …}` per line, with `"history": [[question,
    answer]]` for earlier rounds.

    Raises:
        UsageError: a line is wrong; the message names it.
    """
    found = [Question({"texts": path.name}, text) for text in read_rounds(path)]
    if not found:
        raise UsageError(f'{path} has no questions: write one {{"prompt": …, "answer": …}} per line')
    return found
