"""The skills of the demo model, one class each. A new skill is a new class in this list."""

from .advice import Advice
from .arithmetic import Addition, LongAddition, LongSubtraction, Multiplication, Subtraction
from .base import LANGUAGES, Kind, Language, Round, Sample, Skill, Split
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
_CAPITALS = Capitals()
_OTHERS: tuple[Skill, ...] = (
    Greeting(),
    SelfIntroduction(),
    Courtesy(),
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
    Opposites(),
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

__all__ = [
    "LANGUAGES",
    "SKILLS",
    "Kind",
    "Language",
    "Round",
    "Sample",
    "Skill",
    "Split",
    "StrangeWords",
]
