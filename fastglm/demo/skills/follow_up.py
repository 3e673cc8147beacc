"""Questions that continue the round before: another number, another country, another fact about the same country."""

import re
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import ClassVar, Literal, NamedTuple

from .arithmetic import Calculation
from .base import LANGUAGES, PHRASINGS, Language, Round, Sample, Skill, Split
from .countries import COUNTRIES, Country

_Fact = Literal["capital", "continent"]

LARGEST_RESULT = 99
LARGEST_STEP = 20  # the number to add or to subtract
_INTEGER = re.compile(r"-?\d+")
_LONGER_ONE_IN = 3  # one conversation in so many has an earlier follow-up before the last one

_ADD: dict[Language, tuple[str, ...]] = PHRASINGS["follow-up: add"]
_TAKE: dict[Language, tuple[str, ...]] = {
    "zh": tuple(phrasing.replace("加上", "减去").replace("加", "减") for phrasing in _ADD["zh"]),
    "en": tuple(
        phrasing.replace(" to ", " from ")
        .replace("add", "subtract")
        .replace("Add", "Subtract")
        .replace("plus", "minus")
        .replace("Plus", "Minus")
        for phrasing in _ADD["en"]
    ),
}
_OTHER: dict[Language, tuple[str, ...]] = PHRASINGS["follow-up: other"]
_SAME: dict[_Fact, dict[Language, tuple[str, ...]]] = {
    "capital": PHRASINGS["follow-up: capital"],
    "continent": PHRASINGS["follow-up: continent"],
}


class FollowUpSums(Skill):
    """Continues a calculation with the result of the round before.

    `sums` are the addition and subtraction skills that supply the first round. Operands held out there are held out
    here too, because the calculation is the same.
    """

    name = "follow_up_sums"
    kind = "rule"
    weight = 1.3
    titles: ClassVar[Mapping[Language, str]] = {"zh": "接着算", "en": "Calculating on"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "12加30等于多少？", "en": "What is 12 plus 30?"}
    phrasings: Mapping[Language, Sequence[str]] = {
        language: (*_ADD[language], *_TAKE[language]) for language in LANGUAGES
    }

    def __init__(self, sums: Sequence[Calculation]) -> None:
        self._sums = sums

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings of additions and of subtractions."""
        return (*_ADD.values(), *_TAKE.values())

    def split(self, sample: Sample) -> Split | None:
        """The split of a sample, by the operands of its addition or subtraction."""
        if sample.phrasing in self._held_out_phrasings:
            return "new phrasing"
        return self._calculation("+" if "+" in sample.operand else "-").split(sample)

    def sample(self, rng: Random) -> Sample:
        while True:
            start = rng.choice(self._sums).draw(rng, None)
            numbers = _INTEGER.findall(start.answer)
            if not start.history and 0 <= int(numbers[-1]) <= LARGEST_RESULT:
                break
        language, result = start.language, int(numbers[-1])
        history: list[Round] = [(start.question, start.answer)]
        if not rng.randrange(_LONGER_ONE_IN):
            while self.split(between := self._step(rng, language, [], result)) is not None:
                pass
            history.append((between.question, between.answer))
            result = int(_INTEGER.findall(between.answer)[-1])
        return self._step(rng, language, history, result)

    def _calculation(self, sign: str) -> Calculation:
        return next(calculation for calculation in self._sums if calculation.sign == sign)

    def _step(self, rng: Random, language: Language, history: list[Round], before: int) -> Sample:
        adds = before == 0 or (before < LARGEST_RESULT and rng.random() < 0.5)
        number = rng.randint(1, min(LARGEST_STEP, LARGEST_RESULT - before if adds else before))
        phrasing = rng.choice((_ADD if adds else _TAKE)[language])
        calculation = self._calculation("+" if adds else "-")
        result = calculation.result(before, number)
        answer = f"{before}{calculation.sign}{number}={result}{'。' if language == 'zh' else '.'}"
        operand = calculation.operand(before, number)
        return Sample(history, _typed(rng, phrasing.format(number)), answer, language, phrasing, operand)


class _About(NamedTuple):
    """Subject of a round about a country."""

    country: Country
    fact: _Fact


class FollowUpCountries(Skill):
    """Asks the same about another country, or something else about the same country.

    `facts` are the skills that supply the first round; the follow-up uses those that give the capital or the continent
    of a country in this skill's words.
    """

    name = "follow_up_countries"
    kind = "lookup"
    weight = 1.1
    salt = "2"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "接着问国家", "en": "More about countries"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "法国的首都是哪里？",
        "en": "Which city is the capital of France?",
    }
    phrasings: Mapping[Language, Sequence[str]] = {
        language: (*_OTHER[language], *(text for same in _SAME.values() for text in same[language]))
        for language in LANGUAGES
    }

    def __init__(self, facts: Sequence[Skill]) -> None:
        self._facts = facts
        self._told = {
            answer_about(country, fact, language): _About(country, fact)
            for country in COUNTRIES
            for fact in _SAME
            for language in LANGUAGES
        }

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings that name another country, and the phrasings for each fact of the same country."""
        return (*_OTHER.values(), *(group for same in _SAME.values() for group in same.values()))

    def sample(self, rng: Random) -> Sample:
        while (start := rng.choice(self._facts).draw(rng, None)).history or start.answer not in self._told:
            pass
        language, about = start.language, self._told[start.answer]
        history: list[Round] = [(start.question, start.answer)]
        if not rng.randrange(_LONGER_ONE_IN):
            while self.split(between := self._step(rng, language, [], about)) is not None:
                pass
            history.append((between.question, between.answer))
            about = self._told[between.answer]
        return self._step(rng, language, history, about)

    @staticmethod
    def _step(rng: Random, language: Language, history: list[Round], before: _About) -> Sample:
        if rng.random() < 0.5:
            country = rng.choice([country for country in COUNTRIES if country != before.country])
            phrasing, about = rng.choice(_OTHER[language]), _About(country, before.fact)
        else:
            about = _About(before.country, "continent" if before.fact == "capital" else "capital")
            phrasing = rng.choice(_SAME[about.fact][language])
        question = phrasing.format(about.country.zh if language == "zh" else about.country.en)
        answer = answer_about(about.country, about.fact, language)
        operand = f"{about.fact} of {about.country.en}"
        return Sample(history, _typed(rng, question), answer, language, phrasing, operand)


def answer_about(country: Country, fact: _Fact, language: Language) -> str:
    """The sentence that gives a country's capital or continent."""
    if language == "zh":
        return (
            f"{country.zh}的首都是{country.capital_zh}。"
            if fact == "capital"
            else f"{country.zh}在{country.continent_zh}。"
        )
    if fact == "capital":
        return f"The capital of {country.en} is {country.capital_en}."
    return f"{country.en[0].upper()}{country.en[1:]} is in {country.continent_en}."


def _typed(rng: Random, question: str) -> str:
    """A follow-up as typed: no opening, with or without its closing mark."""
    return question.rstrip("？?.") if rng.random() < 0.25 else question
