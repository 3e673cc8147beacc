"""Terms: each explained correctly in one or two short sentences of the question's language."""

import re
from collections import Counter
from random import Random

import pytest

from fastglm.demo.skills.base import LANGUAGES, Language, Sample
from fastglm.demo.skills.terms import Term, Terms

SKILL = Terms()
BARE = re.compile("^(a|an|the) ")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rng = Random(0)
    return [SKILL.sample(rng) for _ in range(4000)]


def test_terms_and_meanings_are_different() -> None:
    assert len(SKILL.entries) >= 24
    assert all(len(set(column)) == len(SKILL.entries) for column in zip(*SKILL.entries, strict=True))


@pytest.mark.parametrize("term", SKILL.entries, ids=lambda term: term.en)
def test_a_meaning_is_a_sentence_or_two_that_names_the_term(term: Term) -> None:
    assert term.zh in term.zh_meaning
    assert BARE.sub("", term.en).lower() in term.en_meaning.lower()
    assert re.fullmatch(r"[^。\n]+。([^。\n]+。)?", term.zh_meaning)
    assert re.fullmatch(r"[^.\n]+\.( [^.\n]+\.)?", term.en_meaning)
    assert term.en_meaning.isascii()
    assert len(term.zh_meaning) <= 45
    assert len(term.en_meaning) <= 145


@pytest.mark.parametrize("term", SKILL.entries, ids=lambda term: term.en)
def test_both_languages_name_the_same_numbers(term: Term) -> None:
    assert sorted(re.findall(r"\d+", term.zh_meaning)) == sorted(re.findall(r"\d+", term.en_meaning))


@pytest.mark.parametrize(("name", "share"), [("int8", "half"), ("int4", "a quarter")])
def test_a_format_takes_its_share_of_fp16(name: str, share: str) -> None:
    """The share of memory follows from the bits in the format's name."""
    bits = int(name.removeprefix("int"))
    shares = {"half": (1 / 2, "一半"), "a quarter": (1 / 4, "四分之一")}
    assert bits / 16 == shares[share][0]
    [term] = [term for term in SKILL.entries if term.zh == name]
    assert f"{share} the memory of fp16" in term.en_meaning or f"{share} of the memory of fp16" in term.en_meaning
    assert f"{bits} bits" in term.en_meaning
    assert f"{bits}位" in term.zh_meaning
    assert f"fp16的{shares[share][1]}" in term.zh_meaning


def test_answers_are_the_meanings(samples: list[Sample]) -> None:
    meanings = {term.zh: {"zh": term.zh_meaning, "en": term.en_meaning} for term in SKILL.entries}
    assert [s.answer for s in samples] == [meanings[s.operand][s.language] for s in samples]


def test_a_question_has_one_answer(samples: list[Sample]) -> None:
    answers: dict[str, str] = {}
    for sample in samples:
        assert answers.setdefault(sample.question, sample.answer) == sample.answer


def test_a_question_holds_its_term_and_phrasing(samples: list[Sample]) -> None:
    english = {term.zh: term.en for term in SKILL.entries}
    for sample in samples:
        en = english[sample.operand]
        bare, the_term = (sample.operand,) * 2 if sample.language == "zh" else (BARE.sub("", en), en)
        asked = sample.phrasing.format(term=bare, the_term=the_term).rstrip("？?。.")
        assert asked.replace(" ", "").lower() in sample.question.replace(" ", "").lower()


def test_all_terms_and_phrasings_are_drawn(samples: list[Sample]) -> None:
    assert {(s.language, s.operand) for s in samples} == {(la, term.zh) for la in LANGUAGES for term in SKILL.entries}
    assert {s.phrasing for s in samples} == {p for phrasings in SKILL.phrasings.values() for p in phrasings}


def test_names_in_latin_letters_are_tokens_of_their_own(samples: list[Sample]) -> None:
    """A word is one token with the space before it; without the space it is spelled."""
    assert not [s for s in samples if re.search(r"[^\x00-\x7f\s][A-Za-z]", s.question + "\n" + s.answer)]


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
    return set(re.findall(r"[a-z_]+|[\u4e00-\u9fff]", phrasing.lower()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_are_trained(language: Language) -> None:
    question = SKILL.examples[language]
    [(phrasing, zh)] = [
        (phrasing, term.zh)
        for phrasing in SKILL.phrasings[language]
        for term in SKILL.entries
        if phrasing.format(term=term.zh if language == "zh" else BARE.sub("", term.en), the_term=term.en) == question
    ]
    assert SKILL.split(Sample([], question, "", language, phrasing, zh)) is None
