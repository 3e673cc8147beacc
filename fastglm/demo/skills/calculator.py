"""A calculator for numbers too large for mental arithmetic: the model calls the tool, and then tells its result."""

import re
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from ...errors import ToolCallError
from ...messages import Message
from ...models.glm.calls import read_answer, read_call
from .arithmetic import Addition, Calculation, Multiplication, Subtraction, bilingual
from .base import LANGUAGES, Language, Sample, Skill

NAME = "calculator"
TOOL: Mapping[str, Any] = {"name": NAME, "parameters": {"expression": {"type": "string"}}}
SYSTEM = Message("system", "You can calculate.", tools=(TOOL,))
_SUMS: tuple[Calculation, ...] = (Addition(), Subtraction(), Multiplication())
_SIGNS = {"+": "+", "-": "-", "×": "*"}  # in a question, and in a call
_DIGITS = {"+": (4, 6), "-": (4, 6), "×": (3, 4)}  # fewest and most of a number
_SPOKEN_ONE_IN = 5  # one sample in so many needs no tool, although it is offered
_INTEGER = re.compile(r"(?<!\d)-?\d+")


class Calculator(Skill):
    """Calls a calculator as ChatGLM3 calls tools, or tells the result that the calculator gave.

    `others` are skills that the model needs no tool for; it answers their questions as it does without one.
    """

    name = "calculator"
    kind = "rule"
    weight = 2.0
    titles: ClassVar[Mapping[Language, str]] = bilingual("计算器", "Calculator")
    examples: ClassVar[Mapping[Language, str]] = bilingual("48213加7755等于多少？", "What is 48213 plus 7755?")
    phrasings: Mapping[Language, Sequence[str]] = {
        language: tuple(phrasing for each in _SUMS for phrasing in each.phrasings[language]) for language in LANGUAGES
    }

    def __init__(self, others: Sequence[Skill]) -> None:
        self._others = others

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings of every sign and language."""
        return (each.phrasings[language] for each in _SUMS for language in LANGUAGES)

    def sample(self, rng: Random) -> Sample:
        if not rng.randrange(_SPOKEN_ONE_IN):
            spoken = rng.choice(self._others).draw(rng, None)
            return spoken._replace(opening=(SYSTEM,), operand=spoken.question)
        calculation = rng.choice(_SUMS)
        few, many = _DIGITS[calculation.sign]
        left, right = (_number(rng, rng.randint(few, many)) for _ in range(2))
        if calculation.sign == "-":
            left, right = max(left, right), min(left, right)
        language = rng.choice(LANGUAGES)
        phrasing = rng.choice(calculation.phrasings[language])
        asked = calculation.asked(rng, language, phrasing, left, right)._replace(opening=(SYSTEM,))
        call = written_call(f"{left}{_SIGNS[calculation.sign]}{right}")
        if rng.random() < 0.5:
            return asked._replace(answer=call, calls=NAME)
        result = calculation.result(left, right)
        answer = f"{left}{calculation.sign}{right}={result}{'。' if language == 'zh' else '.'}"
        closing = (Message("assistant", call, NAME), Message("observation", str(result)))
        return asked._replace(answer=answer, closing=closing)

    def check(self, answer: str, expected: str) -> bool:
        """Compare the expressions of calls, the numbers of results, and the texts of all other answers."""
        if expected.startswith("```"):
            return _called(answer) == (NAME, read_call("chatglm3", expected))
        numbers = _INTEGER.findall(expected)
        if "=" not in expected or not numbers:
            return super().check(answer, expected)
        return answer.strip().endswith(expected[-1]) and _INTEGER.findall(answer)[-1:] == numbers[-1:]


def written_call(expression: str) -> str:
    """A call of the calculator below the line of its name."""
    return f"```python\ntool_call(expression='{expression}')\n```"


def _called(answer: str) -> tuple[str, Any] | None:
    """The tool that an answer calls and its parameters; None if it calls none as it should."""
    said = read_answer(answer)[-1]
    try:
        return said.metadata.strip(), read_call("chatglm3", said.content)
    except ToolCallError:
        return None


def _number(rng: Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1), 10**digits)
