"""Translation of everyday words between Chinese and English, one word or a short list at a time."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import ClassVar

from ..tables import read_table
from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary

FEWEST, MOST = 3, 6  # words of a list

# Questions for the English word; for the Chinese word the names of the languages are exchanged.
_ONE_WORD: dict[Language, tuple[str, ...]] = PHRASINGS["translation: one word"]
_LIST: dict[Language, tuple[str, ...]] = PHRASINGS["translation: list"]


def _exchange(phrasings: Sequence[str]) -> tuple[str, ...]:
    """The same questions for the Chinese word, with a space before English words in Chinese."""
    return tuple(
        p.replace("English", "Chinese")
        if p.isascii()
        else p.replace("{}", " {}").replace("英语", "中文").replace("英文", "汉语")
        for p in phrasings
    )


# By the language of the answer, then by the language of the question.
_SINGLES: Mapping[Language, Mapping[Language, tuple[str, ...]]] = {
    "en": _ONE_WORD,
    "zh": {language: _exchange(phrasings) for language, phrasings in _ONE_WORD.items()},
}
_LISTS: Mapping[Language, Mapping[Language, tuple[str, ...]]] = {
    "en": _LIST,
    "zh": {language: _exchange(phrasings) for language, phrasings in _LIST.items()},
}


class Translation(Skill):
    """Translates everyday words from Chinese to English and back."""

    name = "translation"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "翻译单词", "en": "Translating words"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "把苹果、水、朋友都翻译成英语。",
        "en": "How do you say friend in Chinese?",
    }
    kind = "lookup"
    weight = 8.0

    words: Sequence[tuple[str, str]] = [(zh, en) for zh, en in read_table("words")]

    phrasings: Mapping[Language, Sequence[str]] = {
        language: tuple(p for kind in (_SINGLES, _LISTS) for target in LANGUAGES for p in kind[target][language])
        for language in LANGUAGES
    }

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings for one word and for a list, in each direction."""
        return [p for kind in (_SINGLES, _LISTS) for target in LANGUAGES for p in kind[target].values()]

    def sample(self, rng: Random) -> Sample:
        language, target = rng.choice(LANGUAGES), rng.choice(LANGUAGES)
        count = 1 if rng.random() < 0.5 else rng.randint(FEWEST, MOST)
        phrasing = rng.choice((_SINGLES if count == 1 else _LISTS)[target][language])
        drawn = rng.sample(self.words, count)
        zh, en = "、".join(zh for zh, _ in drawn), ", ".join(en for _, en in drawn)
        asked = zh if target == "en" else en
        question = vary(rng, phrasing.format(asked), language).strip()
        return Sample([], question, _answer(zh, en, count, language, target), language, phrasing, asked)


def _answer(zh: str, en: str, count: int, language: Language, target: Language) -> str:
    if language == "zh":
        of = "" if count > 1 else f"{zh}的" if target == "en" else f"{en}的"
        return f"{of}英语是 {en}。" if target == "en" else f"{of}中文是{zh}。"
    if target == "en":
        return f"In English: {en}." if count > 1 else f"In English, {zh} is {en}."
    return f"In Chinese: {zh}." if count > 1 else f"In Chinese, {en} is {zh}."
