"""The base of a skill: one ability of the demo model, taught by examples drawn at random and split for evaluation.

No held-out question is trained on. A fifth of each skill's phrasings is held out, for any subject. Among the other
phrasings, a *rule* skill holds out a tenth of its operands in every wording, because a rule must hold for new numbers;
a *look-up* skill holds out a tenth of the pairs of fact and phrasing, because a fact must be seen once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import ClassVar, Literal, NamedTuple
from zlib import crc32

from ...messages import Message
from ...text_files import Text
from ..tables import read_table

Language = Literal["zh", "en"]
Kind = Literal["rule", "lookup", "open"]  # open: answers that are not right or wrong, judged by `open_ended`
Split = Literal["new operands", "new phrasing"]
Round = tuple[str, str]  # (query, response), as in the published history

LANGUAGES: tuple[Language, ...] = ("zh", "en")
PHRASINGS_HELD_OUT_ONE_IN = 5
OPERANDS_HELD_OUT_ONE_IN = 10


def read_phrasings(table: str) -> dict[str, dict[Language, tuple[str, ...]]]:
    """Read the templates of a table by kind of question and language."""
    found: dict[str, dict[Language, tuple[str, ...]]] = {}
    for kind, language, template in read_table(table):
        of_kind = found.setdefault(kind, {"zh": (), "en": ()})
        of_kind["zh" if language == "zh" else "en"] += (template,)
    return found


PHRASINGS = read_phrasings("phrasings")


class Sample(NamedTuple):
    """One question with its conversation so far and the right answer."""

    history: list[Round]
    question: str
    answer: str
    language: Language
    phrasing: str  # the template of the question
    operand: str  # the subject of the question, equal for all phrasings: "47+38", "France"
    opening: tuple[Message, ...] = ()  # before the history: the system's message
    closing: tuple[Message, ...] = ()  # after the question: a call of a tool, and what the tool gave
    calls: str = ""  # the tool that the answer calls
    is_open: bool = False  # there are other answers as good as this one

    @property
    def text(self) -> Text:
        """The conversation and its answer as a text to learn from or score."""
        return Text(self.history, self.question, self.answer, self.opening, self.closing, self.calls)

    @property
    def messages(self) -> list[Message]:
        """The conversation up to the answer."""
        return self.text.messages


class Skill(ABC):
    """One ability of the demo model."""

    name: ClassVar[str]
    titles: ClassVar[Mapping[Language, str]]  # the skill's name in the app
    examples: ClassVar[Mapping[Language, str]]  # a question to try
    kind: ClassVar[Kind]
    weight: ClassVar[float] = 1.0  # share of the corpus, relative to other skills
    practice: ClassVar[float] = 1.0  # factor on this share in the last part of the training
    salt: ClassVar[str] = ""  # seed of the split, chosen so that the wordings that people try first are trained on
    phrasings: Mapping[Language, Sequence[str]]  # templates of the question

    @abstractmethod
    def sample(self, rng: Random) -> Sample:
        """Draw one example; equal states of `rng` give equal examples."""

    def check(self, answer: str, expected: str) -> bool:
        """Tell whether a model's answer is right."""
        return answer.strip() == expected.strip()

    def split(self, sample: Sample) -> Split | None:
        """The kind of held-out questions that a sample belongs to; None if it is trained on."""
        if sample.phrasing in self._held_out_phrasings:
            return "new phrasing"
        held_out = sample.operand if self.kind == "rule" else f"{sample.operand}\n{sample.phrasing}"
        return None if _hash(f"{self.name}: {held_out}") % OPERANDS_HELD_OUT_ONE_IN else "new operands"

    def draw(self, rng: Random, split: Split | None) -> Sample:
        """Draw an example of one split; None means training."""
        while self.split(sample := self.sample(rng)) != split:
            pass
        return sample

    def groups(self) -> Iterable[Sequence[str]]:
        """Groups of interchangeable phrasings: a fifth of each group is held out."""
        return self.phrasings.values()

    @cached_property
    def _held_out_phrasings(self) -> frozenset[str]:
        return frozenset(
            phrasing
            for group in self.groups()
            for phrasing in sorted(group, key=self._order)[: round(len(group) / PHRASINGS_HELD_OUT_ONE_IN)]
        )

    def _order(self, phrasing: str) -> int:
        return _hash(self.salt + phrasing)


class Entry(NamedTuple):
    """One answer and the ways to ask for it, in both languages."""

    name: str
    zh: Sequence[str]
    zh_answer: str
    en: Sequence[str]
    en_answer: str


class EntrySkill(Skill):
    """A look-up skill that is a list of fixed answers, each with questions of its own."""

    kind = "lookup"
    entries: Sequence[Entry]

    def groups(self) -> Iterable[Sequence[str]]:
        """The questions of an entry."""
        return (group for entry in self.entries for group in (entry.zh, entry.en))

    def sample(self, rng: Random) -> Sample:
        entry = rng.choice(self.entries)
        language = rng.choice(LANGUAGES)
        phrasing, answer = (
            (rng.choice(entry.zh), entry.zh_answer) if language == "zh" else (rng.choice(entry.en), entry.en_answer)
        )
        return Sample([], self.typed(rng, phrasing, language), answer, language, phrasing, entry.name)

    def typed(self, rng: Random, phrasing: str, language: Language) -> str:
        """A phrasing as a person would type it."""
        return vary(rng, phrasing, language)

    def split(self, sample: Sample) -> Split | None:
        """The split of a sample; here the phrasing is the whole question, so only the phrasing can be new."""
        return "new phrasing" if sample.phrasing in self._held_out_phrasings else None


_OPENINGS: dict[Language, tuple[str, ...]] = {
    "zh": ("", "", "", "", "", "请问，", "请问", "你好，", "我想知道，"),
    "en": ("", "", "", "", "", "Please, ", "Hi, ", "Tell me: ", "I would like to know: "),
}


def vary(rng: Random, question: str, language: Language) -> str:
    """Vary a question as different people type it: with or without a polite opening and a closing mark.

    `question` ends in its proper mark (`？`, `?`, `。`, …) or in none.
    """
    if rng.random() < 0.25:
        question = question.rstrip("？?。.！!")
    elif language == "zh" and rng.random() < 0.15:
        question = question.replace("？", "?").replace("！", "!")
    opening = rng.choice(_OPENINGS[language])
    if language == "en" and question[:2] != "I " and (opening or rng.random() < 0.15):
        question = question[0].lower() + question[1:]
    return opening + question


def _hash(text: str) -> int:
    return crc32(text.encode())
