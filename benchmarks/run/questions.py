"""Questions of the quality suite: held-out questions of the demo model's world, or a user's own prompts and answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastglm.demo.skills import Skill
from fastglm.errors import UsageError
from fastglm.history import History, of_rounds
from fastglm.messages import Message
from fastglm.text_files import read_rounds


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its expected answer. `labels` classify it, for example by skill and language.

    A user's own question has no skill, because no rule knows which answers are right.
    """

    labels: Mapping[str, str]
    question: str
    expected: str
    history: History = field(default_factory=list)
    skill: Skill | None = None

    @property
    def messages(self) -> list[Message]:
        """The conversation up to the question."""
        return of_rounds(self.history, self.question)

    def right(self, answer: str | None) -> bool | None:
        """Tell whether an answer is right; None if no rule can tell."""
        if self.skill is None:
            return None
        return answer is not None and self.skill.check(answer, self.expected)


def held_out(each: int) -> list[Question]:
    """Up to `each` questions of every skill, split and language; always the same ones."""
    from fastglm.demo.evaluation.skills import held_out_questions

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
    """Read the questions of a JSON Lines file: `{"prompt": …, "answer": …}` per line, with `"history": [[question,
    answer]]` for earlier rounds.

    Raises:
        UsageError: a line is wrong; the message names it.
    """
    found = [Question({"texts": path.name}, text.prompt, text.answer, text.history) for text in read_rounds(path)]
    if not found:
        raise UsageError(f'{path} has no questions: write a {{"prompt": …, "answer": …}} a line')
    return found
