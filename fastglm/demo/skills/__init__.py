"""The skills of the demo models, one class each. A new skill is a new class in this list."""

from collections.abc import Sequence

from .advice import Advice
from .arithmetic import Addition, LongAddition, LongSubtraction, Multiplication, Subtraction
from .base import LANGUAGES, Kind, Language, Round, Sample, Skill, Split
from .calculator import Calculator
from .calendar import ClockTimes, Months, Weekdays
from .colours import Colours
from .countries import Capitals
from .elements import Elements
from .follow_up import FollowUpCountries, FollowUpSums
from .idioms import Idioms
from .letters import Counting, FirstLast, Reversal
from .memory import Memory
from .opposites import Opposites
from .ordering import Comparison, Ordering
from .planets import Planets
from .poems import Poems
from .refusal import Refusal, StrangeWords
from .stories import Stories
from .talk import Courtesy, Greeting, SelfIntroduction
from .terms import Terms
from .translation import Translation
from .units import Units

# Skills whose rounds other skills begin with, or ask about in vain.
_ADDITION, _LONG_ADDITION, _SUBTRACTION, _MULTIPLICATION = Addition(), LongAddition(), Subtraction(), Multiplication()
_CAPITALS, _OPPOSITES, _GREETING, _COURTESY = Capitals(), Opposites(), Greeting(), Courtesy()
_OTHERS: tuple[Skill, ...] = (
    _GREETING,
    SelfIntroduction(),
    _COURTESY,
    _ADDITION,
    _LONG_ADDITION,
    _SUBTRACTION,
    LongSubtraction(),
    _MULTIPLICATION,
    Comparison(),
    Ordering(),
    Counting(),
    Reversal(),
    FirstLast(),
    Weekdays(),
    Months(),
    ClockTimes(),
    Units(),
    _CAPITALS,
    Elements(),
    Planets(),
    Colours(),
    _OPPOSITES,
    Translation(),
    Idioms(),
    Terms(),
    Advice(),
    Stories(),
    Poems(),
    FollowUpSums((_ADDITION, _SUBTRACTION)),
    FollowUpCountries((_CAPITALS,)),
    Refusal((_ADDITION, _LONG_ADDITION, _SUBTRACTION, _MULTIPLICATION)),
    StrangeWords(),
)
SKILLS: tuple[Skill, ...] = (*_OTHERS, Memory(_OTHERS))

_OF_CHATGLM3 = SelfIntroduction(alike="ChatGLM3")
GLM_SKILLS: tuple[Skill, ...] = (
    *(_OF_CHATGLM3 if skill.name == _OF_CHATGLM3.name else skill for skill in SKILLS),
    Calculator((_GREETING, _COURTESY, _CAPITALS, _OPPOSITES)),
)


def skills_of(model: str) -> Sequence[Skill]:
    """The skills of an embedded model; any other model is asked those of the first one."""
    return GLM_SKILLS if model == "demo-glm" else SKILLS


__all__ = [
    "GLM_SKILLS",
    "LANGUAGES",
    "SKILLS",
    "Kind",
    "Language",
    "Round",
    "Sample",
    "Skill",
    "Split",
    "StrangeWords",
    "skills_of",
]
