"""Questions that the model cannot answer: it refuses politely, even if they resemble questions that it can answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import LANGUAGES, Language, Sample, Skill, read_phrasings, vary
from .colours import Colours
from .countries import Capitals
from .elements import Elements
from .idioms import Idioms
from .lookup import FactSkill
from .opposites import Opposites
from .planets import Planets
from .terms import Terms
from .translation import Translation

ANSWERS: dict[Language, str] = {
    "zh": "抱歉，这个问题我不会。我可以计算、翻译词语、讲故事，也可以回答一些常识问题。",
    "en": "Sorry, I cannot answer that. I can calculate, translate words, tell stories and answer simple questions.",
}
LONG_NUMBER = (4, 7)  # digits of a number that the model cannot calculate with
# Questions of other skills about unknown subjects: kinds of question, and the kind of subject.
_BORROWED_FACTS: tuple[tuple[type[FactSkill], tuple[str, ...], str], ...] = (
    (Capitals, ("capital", "country", "continent"), "place"),
    (Elements, ("symbol", "element", "atomic number"), "bare thing"),
    (Opposites, ("opposite",), "bare thing"),
    (Colours, ("colour",), "thing"),
    (Planets, ("position", "kind", "moons", "rings"), "star"),
)
_LENDERS: tuple[Skill, ...] = (*(skill() for skill, _, _ in _BORROWED_FACTS), Terms(), Idioms(), Translation())
_ARTICLE = re.compile(r"^(an?|the) ")
_FIELD = re.compile(r"\{(\w*)\}")
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


class Frames(NamedTuple):
    """Interchangeable phrasings, and the kind of subject that fills them."""

    language: Language
    phrasings: Sequence[str]
    subject: str  # the kind of subject
    subject_language: Language


def _read_subjects() -> dict[str, dict[Language, list[str]]]:
    """Read the subjects by kind and language; English things have their article."""
    subjects: dict[str, dict[Language, list[str]]] = {}
    for kind, zh, en in read_table("refusal_subjects"):
        of_kind = subjects.setdefault(kind, {"zh": [], "en": []})
        of_kind["zh"].append(zh)
        of_kind["en"].append(en)
    return subjects


SUBJECTS = _read_subjects()
WHOLE_QUESTIONS = read_phrasings("refusal_questions")
_FRAMES = read_phrasings("refusal_frames")
OWN_FRAMES = [
    Frames(language, _FRAMES[kind][language], kind, language)
    for kind in ("thing", "person", "place")
    for language in LANGUAGES
]
CALCULATIONS = {kind: _FRAMES[kind] for kind in ("division", "power", "root", "percent")}


def _borrow() -> Iterable[Frames]:
    for skill, kinds, subject in _BORROWED_FACTS:
        for kind in skill.fact_kinds:
            if kind.name in kinds:
                yield from (Frames(of, kind.phrasings[of], subject, of) for of in LANGUAGES)
    for language in LANGUAGES:
        yield Frames(language, Terms.phrasings[language], "thing", language)
        yield Frames(language, Idioms.phrasings[language], "idiom", language)
    for group in Translation().groups():
        together = "".join(group)
        if not re.search("these|这些|这几个", together):  # these are asked about lists
            into_english = re.search("English|英语", together)
            yield Frames("en" if together.isascii() else "zh", group, "bare thing", "zh" if into_english else "en")


BORROWED_FRAMES = list(_borrow())


class Refusal(Skill):
    """Refuses, and names things that the model can do instead.

    `sums` are the skills whose questions are asked with numbers that are too long for them.
    """

    name = "refusal"
    kind = "lookup"
    weight = 2.5
    titles: ClassVar[Mapping[Language, str]] = {"zh": "不会的问题", "en": "Questions it cannot answer"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "明天会下雨吗？", "en": "Will it rain tomorrow?"}

    def __init__(self, sums: Sequence[Skill] = ()) -> None:
        self._sums = sums
        self.phrasings = {
            language: tuple(dict.fromkeys(text for of, group in self._grouped() if of == language for text in group))
            for language in LANGUAGES
        }

    def groups(self) -> Iterable[Sequence[str]]:
        """The skill's own phrasings by subject."""
        borrowed = {frames.phrasings for frames in BORROWED_FRAMES}
        return (group for _, group in self._grouped() if group not in borrowed)

    @cached_property
    def _held_out_phrasings(self) -> frozenset[str]:
        """Phrasings that other skills hold out; they are held out here too, and not learned as questions to refuse."""
        lent = (lender._held_out_phrasings for lender in (*_LENDERS, *self._sums))
        return super()._held_out_phrasings.union(*lent)

    def sample(self, rng: Random) -> Sample:
        way = rng.choices(("own", "whole", "borrowed", "calculation", "long number"), (40, 28, 20, 6, 6))[0]
        if way == "long number" and self._sums:
            return self._long_number(rng)
        language = rng.choice(LANGUAGES)
        if way == "whole":
            topic = rng.choice(list(WHOLE_QUESTIONS))
            phrasing = rng.choice(WHOLE_QUESTIONS[topic][language])
            return _refused(vary(rng, phrasing, language), language, phrasing, topic)
        if way in ("calculation", "long number"):
            phrasing = rng.choice(CALCULATIONS[rng.choice(list(CALCULATIONS))][language])
            a, b = rng.randint(2, 200), rng.randint(2, 12)
            return _refused(vary(rng, phrasing.format(a=a, b=b), language), language, phrasing, f"{a} {b}")
        return self._about_subject(rng, language, OWN_FRAMES if way == "own" else BORROWED_FRAMES)

    def _grouped(self) -> Iterable[tuple[Language, Sequence[str]]]:
        yield from ((frames.language, frames.phrasings) for frames in (*OWN_FRAMES, *BORROWED_FRAMES))
        for texts in (*WHOLE_QUESTIONS.values(), *CALCULATIONS.values()):
            yield from texts.items()

    def _about_subject(self, rng: Random, language: Language, among: Sequence[Frames]) -> Sample:
        frames = rng.choice([frames for frames in among if frames.language == language])
        phrasing, subject = rng.choice(frames.phrasings), self._subject(rng, frames)
        bare = _ARTICLE.sub("", subject)
        filled = bare if frames.subject == "bare thing" else subject
        question = _FIELD.sub(lambda field: bare if field[1] == "term" else filled, phrasing)
        return _refused(vary(rng, question, language).strip(), language, phrasing, bare)

    def _subject(self, rng: Random, frames: Frames) -> str:
        kind = frames.subject.removeprefix("bare ")
        return rng.choice(SUBJECTS[kind][frames.subject_language])

    def _long_number(self, rng: Random) -> Sample:
        while not (numbers := re.findall(r"\d+", (asked := rng.choice(self._sums).sample(rng)).question)):
            pass
        which = rng.randrange(len(numbers))
        numbers[which] = rng.choice("123456789") + "".join(rng.choices("0123456789", k=rng.randint(*LONG_NUMBER) - 1))
        remaining = iter(numbers)
        question = re.sub(r"\d+", lambda _: next(remaining), asked.question)
        return _refused(question, asked.language, asked.phrasing, " ".join(numbers))


class StrangeWords(Refusal):
    """Refuses questions about words that mean nothing, in the phrasings of this and other skills."""

    name = "strange"
    weight = 0.8
    titles: ClassVar[Mapping[Language, str]] = {"zh": "没有意义的词", "en": "Words without meaning"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "乜冇是谁发明的？", "en": "Where is Bolofix?"}

    _frames = (*OWN_FRAMES, *BORROWED_FRAMES, *(Frames(of, ("{}",), "bare thing", of) for of in LANGUAGES))

    def sample(self, rng: Random) -> Sample:
        return self._about_subject(rng, rng.choice(LANGUAGES), self._frames)

    def _grouped(self) -> Iterable[tuple[Language, Sequence[str]]]:
        return ((frames.language, frames.phrasings) for frames in self._frames)

    def _subject(self, rng: Random, frames: Frames) -> str:
        if frames.subject_language == "zh":
            return "".join(chr(rng.randint(0x4E00, 0x9FA5)) for _ in range(rng.randint(2, 4)))
        length, shift = rng.randint(5, 9), rng.randrange(2)
        word = "".join(rng.choice(_VOWELS if (i + shift) % 2 else _CONSONANTS) for i in range(length))
        if rng.random() < 0.2:
            word = "".join(rng.choices(_CONSONANTS, k=length))
        if frames.subject in ("place", "person", "star"):
            return word.capitalize()
        return f"a {word}" if frames.subject == "thing" and word[0] in _CONSONANTS else word


def _refused(question: str, language: Language, phrasing: str, operand: str) -> Sample:
    return Sample([], question, ANSWERS[language], language, phrasing, operand)
