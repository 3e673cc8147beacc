"""What the quality suite asks: held-out questions of the demo model's world, or a user's own prompts and answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastglm.demo.skills import Skill
from fastglm.errors import UsageError
from fastglm.evaluate.skills import held_out_questions
from fastglm.models.chat import History

KEYS = {"prompt", "answer", "history"}


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
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # texts may hold all the other ends of lines
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): --texts wants a JSON Lines file in UTF-8") from error
    found = [
        _question(line, f"{path}, line {number}", path.name) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not found:
        raise UsageError(f'{path} has no questions: write a {{"prompt": …, "answer": …}} a line')
    return found


def _question(line: str, place: str, name: str) -> Question:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON ({error})") from error
    if not isinstance(data, dict) or not {"prompt", "answer"} <= data.keys() <= KEYS:
        raise UsageError(f'{place}: wanted are "prompt" and "answer", and "history" where there is one, and no others')
    history = data.get("history", [])
    for key in ("prompt", "answer"):
        if not _is_text(data[key]) or not data[key].strip():
            raise UsageError(
                f'{place}: "{key}" is a text that is not empty, of characters that UTF-8 and databases have'
            )
    if not isinstance(history, list) or not all(_is_round(part) for part in history):
        raise UsageError(f'{place}: "history" is a list of pairs of texts, [[asked, answered], …]')
    return Question({"texts": name}, data["prompt"], data["answer"], [(asked, said) for asked, said in history])


def _is_round(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 2 and all(map(_is_text, part))


def _is_text(part: Any) -> bool:
    r"""Half a surrogate pair ("\ud800") is no character, and PostgreSQL keeps no "\u0000"."""
    return isinstance(part, str) and "\0" not in part and not any("\ud800" <= char <= "\udfff" for char in part)
