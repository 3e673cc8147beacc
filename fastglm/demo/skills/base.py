"""What a skill is: one thing the demo model can do, told by examples drawn at random."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import ClassVar, Literal, NamedTuple

Language = Literal["zh", "en"]
Round = tuple[str, str]  # (query, response), as in the published history

LANGUAGES: tuple[Language, ...] = ("zh", "en")


class Sample(NamedTuple):
    """One question with its conversation so far and the one right answer."""

    history: list[Round]
    question: str
    answer: str


class Skill(ABC):
    """One thing the demo model can do.

    The answer follows from the history and the question alone, so that exact answers can be counted; only the wording
    of the question is drawn freely.
    """

    name: ClassVar[str]
    weight: ClassVar[float] = 1.0  # share of the corpus, relative to the other skills
    in_vocabulary: ClassVar[bool] = True  # whether its words shape the tokenizer

    @abstractmethod
    def sample(self, rng: Random) -> Sample:
        """Draw one example; the same state of `rng` gives the same example."""

    def identity(self, sample: Sample) -> str:
        """What makes a question new: those with the same identity are all trained on, or all held out.

        Here: the words of the conversation, without polite openings, punctuation and case.
        """
        return " ".join(_bare(text) for text in (*(query for query, _ in sample.history), sample.question))


class Entry(NamedTuple):
    """One answer and the ways to ask for it, in both languages."""

    zh: Sequence[str]
    zh_answer: str
    en: Sequence[str]
    en_answer: str


class EntrySkill(Skill):
    """A skill that is a list of fixed answers, each asked for in several ways."""

    entries: ClassVar[Sequence[Entry]]

    def identity(self, sample: Sample) -> str:
        """The text as it is: each listed question is trained on in some form, only forms of it are held out."""
        return sample.question

    def sample(self, rng: Random) -> Sample:
        entry = rng.choice(self.entries)
        if rng.choice(LANGUAGES) == "zh":
            return Sample([], vary(rng, rng.choice(entry.zh), "zh"), entry.zh_answer)
        return Sample([], vary(rng, rng.choice(entry.en), "en"), entry.en_answer)


_OPENINGS: dict[Language, tuple[str, ...]] = {
    "zh": ("", "", "", "", "", "请问，", "请问", "你好，", "我想知道，"),
    "en": ("", "", "", "", "", "Please, ", "Hi, ", "Tell me: ", "I would like to know: "),
}


def vary(rng: Random, question: str, language: Language) -> str:
    """The same question as different people type it: with or without a polite opening and closing mark.

    `question` ends in the mark it should have (`？`, `?`, `。`, …) or in none.
    """
    if rng.random() < 0.25:
        question = question.rstrip("？?。.！!")
    elif language == "zh" and rng.random() < 0.15:
        question = question.replace("？", "?").replace("！", "!")
    opening = rng.choice(_OPENINGS[language])
    if language == "en" and question[:2] != "I " and (opening or rng.random() < 0.15):
        question = question[0].lower() + question[1:]
    return opening + question


_ANY_OPENING = re.compile("|".join(sorted((o for o in {*_OPENINGS["zh"], *_OPENINGS["en"]} if o), reverse=True)))


def _bare(text: str) -> str:
    return re.sub(r"\W", "", _ANY_OPENING.sub("", text, count=1)).lower()
