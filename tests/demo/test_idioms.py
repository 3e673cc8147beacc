"""Idioms: Chinese ones in Chinese, English ones in English, each with one meaning in this project's words."""

import re
from collections import Counter
from random import Random

import pytest

from fastglm.demo.skills.base import LANGUAGES, Language, Sample
from fastglm.demo.skills.idioms import Idioms

SKILL = Idioms()


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rng = Random(0)
    return [SKILL.sample(rng) for _ in range(4000)]


@pytest.mark.parametrize(("language", "fewest"), [("zh", 40), ("en", 25)])
def test_idioms_and_meanings_are_different(language: Language, fewest: int) -> None:
    table = SKILL.meanings[language]
    assert fewest <= len(table) == len(dict(table)) == len({meaning for _, meaning in table})


@pytest.mark.parametrize(("idiom", "meaning"), SKILL.meanings["zh"])
def test_a_chinese_idiom_is_explained_in_one_short_sentence(idiom: str, meaning: str) -> None:
    assert re.fullmatch(r"[\u4e00-\u9fff]{4}", idiom)
    assert re.fullmatch(r"[\u4e00-\u9fff，]{7,25}", meaning)
    assert idiom not in meaning


@pytest.mark.parametrize(("idiom", "meaning"), SKILL.meanings["en"])
def test_an_english_idiom_is_explained_in_one_short_sentence(idiom: str, meaning: str) -> None:
    assert re.fullmatch(r"[a-z ]+", idiom)
    assert re.fullmatch(r"[a-zI, ]+", meaning)
    assert len(meaning.split()) <= 15
    assert idiom not in meaning


def test_answers_are_the_meanings(samples: list[Sample]) -> None:
    meanings = {idiom: (language, meaning) for language in LANGUAGES for idiom, meaning in SKILL.meanings[language]}
    for sample in samples:
        language, meaning = meanings[sample.operand]
        assert language == sample.language
        assert sample.answer in (f"{sample.operand}的意思是{meaning}。", f"It means {meaning}.")
        assert sample.answer.isascii() == (language == "en")


def test_a_question_has_one_answer(samples: list[Sample]) -> None:
    answers: dict[str, str] = {}
    for sample in samples:
        assert answers.setdefault(sample.question, sample.answer) == sample.answer


def test_a_question_holds_its_operand_and_phrasing(samples: list[Sample]) -> None:
    for sample in samples:
        asked = sample.phrasing.format(sample.operand).rstrip("？?。.").lower()
        assert asked in sample.question.lower()


def test_all_idioms_and_phrasings_are_drawn(samples: list[Sample]) -> None:
    drawn = {(s.language, s.operand) for s in samples}
    assert drawn == {(language, idiom) for language in LANGUAGES for idiom, _ in SKILL.meanings[language]}
    assert {s.phrasing for s in samples} == {p for phrasings in SKILL.phrasings.values() for p in phrasings}


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_words_are_known_from_trained_phrasings(language: Language) -> None:
    group = set(SKILL.phrasings[language])
    held_out = SKILL._held_out_phrasings & group
    assert 10 <= len(group) == len(SKILL.phrasings[language])
    assert min(Counter(word for p in group for word in parts(p)).values()) >= 3
    known = Counter(word for p in group - held_out for word in parts(p))
    assert not {(p, word) for p in held_out for word in parts(p) if known[word] < 2}


def parts(phrasing: str) -> set[str]:
    """The words or characters of a template."""
    return set(re.findall(r"[a-z]+|[\u4e00-\u9fff]", phrasing.lower()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_are_trained(language: Language) -> None:
    question = SKILL.examples[language]
    [(phrasing, idiom)] = [
        (phrasing, idiom)
        for phrasing in SKILL.phrasings[language]
        for idiom, _ in SKILL.meanings[language]
        if phrasing.format(idiom) == question
    ]
    assert SKILL.split(Sample([], question, "", language, phrasing, idiom)) is None
