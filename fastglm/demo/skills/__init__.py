"""What the demo model can do, one class a skill. A new skill is a new class in this list."""

from .advice import Advice
from .arithmetic import Addition, Counting, Subtraction
from .base import Round, Sample, Skill
from .compression import Compression
from .facts import Capitals, Colours, Opposites, Weekdays
from .talk import Courtesy, Greeting, NameMemory, Refusal, SelfIntroduction, StrangeWords

SKILLS: tuple[Skill, ...] = (
    Greeting(),
    SelfIntroduction(),
    Courtesy(),
    NameMemory(),
    Addition(),
    Subtraction(),
    Counting(),
    Opposites(),
    Colours(),
    Capitals(),
    Weekdays(),
    Advice(),
    Compression(),
    Refusal(),
    StrangeWords(),
)

__all__ = ["SKILLS", "Round", "Sample", "Skill"]
