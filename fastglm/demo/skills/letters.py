"""The letters of a word: their number, their reverse order, the first and the last."""

import re
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from string import ascii_lowercase
from typing import ClassVar

from ..tables import read_table
from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary

_WORDS = {
    kind: tuple(word for row_kind, words in read_table("letters") if row_kind == kind for word in words.split())
    for kind in ("en", "zh", "onset", "vowel", "coda")
}
ENGLISH_WORDS, CHINESE_WORDS = _WORDS["en"], _WORDS["zh"]
CHARACTERS = "".join(sorted(set("".join(CHINESE_WORDS))))  # the letters of made-up words
_LENGTHS = (2, 3, 4, 5, 6, 7, 8, 9, 10)
_LENGTH_WEIGHTS = (1, 3, 4, 4, 4, 4, 4, 2, 2)
_REAL, _ONE_WORD_IN_ENGLISH = 0.5, 0.7
_REPETITIVE = 0.4  # share of made-up words with few different letters, so that counts above 2 occur
_ABSENT = 0.15  # share of counts that are 0

_LENGTH_PHRASINGS = PHRASINGS["letters: length"]
_OCCURRENCE_PHRASINGS = PHRASINGS["letters: occurrence"]


class Counting(Skill):
    """Counts the letters of a word, or the occurrences of one letter, by spelling the word with a running count."""

    name = "counting"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "数字母", "en": "Counting letters"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": '"strawberry"里有几个"r"？',
        "en": 'How often does "r" appear in "strawberry"?',
    }
    kind = "rule"
    weight = 2.2
    practice = 3.0
    phrasings: Mapping[Language, Sequence[str]] = {
        language: (*_LENGTH_PHRASINGS[language], *_OCCURRENCE_PHRASINGS[language]) for language in LANGUAGES
    }

    def groups(self) -> Iterable[Sequence[str]]:
        """Phrasings for the number of all letters, and of one letter."""
        return (*_LENGTH_PHRASINGS.values(), *_OCCURRENCE_PHRASINGS.values())

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        return _occurrences(rng, language) if rng.random() < 0.55 else _length(rng, language)

    def check(self, answer: str, expected: str) -> bool:
        """Compare the number after the spelling."""
        return re.findall(r"\d+", answer)[-1:] == re.findall(r"\d+", expected)[-1:]


class Reversal(Skill):
    """Writes a word backwards."""

    name = "reversal"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "倒着写", "en": "Writing backwards"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": '"stone"倒过来是什么？', "en": 'What is "stone" backwards?'}
    kind = "rule"
    weight = 2.5
    salt = "1"
    phrasings: Mapping[Language, Sequence[str]] = PHRASINGS["reversal"]

    def sample(self, rng: Random) -> Sample:
        word = draw_word(rng, longest=7)
        language = rng.choice(LANGUAGES)
        phrasing = rng.choice(self.phrasings[language])
        write = rng.choice(("spell", "write")) if word.isascii() else "write"
        question = vary(rng, phrasing.format(word=_quoted_as_typed(rng, word, language), write=write), language)
        backwards = _quoted(word[::-1])
        answer = (
            f"{_quoted(word)}倒过来是{backwards}。"
            if language == "zh"
            else f"{_quoted(word)} backwards is {backwards}."
        )
        return Sample([], question, answer, language, phrasing, word)


class FirstLast(Skill):
    """Names the first, second or last letter of a word."""

    name = "first_last"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "第一个和最后一个字母", "en": "First and last letters"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": '"stone"的最后一个字母是哪个？',
        "en": 'What is the last letter of "stone"?',
    }
    kind = "rule"
    weight = 1.2
    places: ClassVar[Mapping[int, tuple[str, str]]] = {
        0: ("第一个", "first"),
        1: ("第二个", "second"),
        -1: ("最后一个", "last"),
    }
    phrasings: Mapping[Language, Sequence[str]] = PHRASINGS["first_last"]

    def sample(self, rng: Random) -> Sample:
        word = draw_word(rng, longest=8)
        place = rng.choice(tuple(self.places))
        zh, en = self.places[place]
        language = rng.choice(LANGUAGES)
        phrasing = rng.choice(self.phrasings[language])
        which, unit = (zh if language == "zh" else en), _unit(word, language)
        question = vary(
            rng, phrasing.format(word=_quoted_as_typed(rng, word, language), which=which, unit=unit), language
        )
        found = _quoted(word[place])
        answer = f"{which}{unit}是{found}。" if language == "zh" else f"The {which} {unit} is {found}."
        return Sample([], question, answer, language, phrasing, f"{en} of {word}")


def draw_word(rng: Random, longest: int) -> str:
    """Draw an English or Chinese word, real or made up, of at least two letters or characters."""
    return draw_english_word(rng, longest) if rng.random() < _ONE_WORD_IN_ENGLISH else draw_chinese_word(rng)


def draw_english_word(rng: Random, longest: int) -> str:
    """Draw a real or a made-up English word of at most `longest` letters."""
    if rng.random() < _REAL:
        while len(word := rng.choice(ENGLISH_WORDS)) > longest:
            pass
        return word
    onsets, vowels, codas = (_WORDS[part] for part in ("onset", "vowel", "coda"))
    if rng.random() < _REPETITIVE:
        onsets, vowels, codas = (tuple(rng.choices(parts, k=k)) for parts, k in ((onsets, 2), (vowels, 1), (codas, 1)))
    while (length := rng.choices(_LENGTHS, _LENGTH_WEIGHTS)[0]) > longest:
        pass
    word = ""
    while len(word) < length:
        word += rng.choice(onsets) + rng.choice(vowels) + (rng.choice(codas) if rng.random() < 0.6 else "")
    return word[:length]


def draw_chinese_word(rng: Random) -> str:
    """Draw a real Chinese word, or two to five characters in any order."""
    if rng.random() < _REAL:
        return rng.choice(CHINESE_WORDS)
    return "".join(rng.choices(CHARACTERS, k=rng.randint(2, 5)))


def _length(rng: Random, language: Language) -> Sample:
    word = draw_word(rng, longest=10)
    unit = _unit(word, language)
    phrasing = rng.choice(_LENGTH_PHRASINGS[language])
    question = vary(rng, phrasing.format(word=_quoted_as_typed(rng, word, language), unit=unit), language)
    spelling = _quoted("-".join(f"{letter}{place}" for place, letter in enumerate(word, 1)))
    answer = (
        f"{spelling}，一共有{len(word)}个{unit}。"
        if language == "zh"
        else f"{spelling}: the word has {len(word)} {unit}s."
    )
    return Sample([], question, answer, language, phrasing, f"letters of {word}")


def _occurrences(rng: Random, language: Language) -> Sample:
    word = draw_english_word(rng, longest=10)
    letter = rng.choice(ascii_lowercase if rng.random() < _ABSENT else word)
    phrasing = rng.choice(_OCCURRENCE_PHRASINGS[language])
    question = vary(
        rng,
        phrasing.format(word=_quoted_as_typed(rng, word, language), letter=_quoted_as_typed(rng, letter, language)),
        language,
    )
    count, steps = 0, []
    for each in word:
        count += each == letter
        steps.append(f"{each}{count}")
    spelling, times = _quoted("-".join(steps)), "time" if count == 1 else "times"
    answer = (
        f"找{_quoted(letter)}：{spelling}，一共出现了{count}次。"
        if language == "zh"
        else f"Look for {_quoted(letter)}: {spelling}, so it appears {count} {times}."
    )
    return Sample([], question, answer, language, phrasing, f"{letter} in {word}")


def _unit(word: str, language: Language) -> str:
    if language == "zh":
        return "字母" if word.isascii() else "字"
    return "letter" if word.isascii() else "character"


def _quoted(word: str) -> str:
    return f'"{word}"' if word.isascii() else f"“{word}”"


def _quoted_as_typed(rng: Random, word: str, language: Language) -> str:
    return f"“{word}”" if language == "zh" and rng.random() < 0.2 else _quoted(word)
