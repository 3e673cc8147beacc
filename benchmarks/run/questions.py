"""What the quality suite asks: held-out questions of the demo model's world, or a user's own prompts and answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastglm.demo.evaluation.skills import held_out_questions
from fastglm.demo.skills import Skill
from fastglm.errors import UsageError
from fastglm.models.chatglm.conversation import History
from fastglm.text_files import read_rounds


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the answer that is expected. `labels` say what it is a question of, such as skill and language.

    A user's own has no skill, as nobody knows which answers to it are right.
    """

    labels: Mapping[str, str]
    question: str
    expected: str
    history: History = field(default_factory=list)
    skill: Skill | None = None

    def right(self, answer: str | None) -> bool | None:
        """Whether the answer is; None where nobody can tell."""
        if self.skill is None:
            return None
        return answer is not None and self.skill.check(answer, self.expected)


def held_out(each: int) -> list[Question]:
    """Up to `each` questions of every skill, split and language, the same ones every time."""
    return [
        Question(
            {"skill": q.skill.name, "split": q.split, "language": q.sample.language},
            q.sample.question,
            q.sample.answer,
            q.sample.history,
            q.skill,
        )
        for q in held_out_questions(each)
    ]


def read_texts(path: Path) -> list[Question]:
    """The questions of a JSON Lines file: a `{"prompt": …, "answer": …}` a line, and `"history": [[asked, answered]]`
    where there were rounds before. Raises `UsageError` with the line that is wrong."""
    found = [Question({"texts": path.name}, text.prompt, text.answer, text.history) for text in read_rounds(path)]
    if not found:
        raise UsageError(f'{path} has no questions: write a {{"prompt": …, "answer": …}} a line')
    return found
