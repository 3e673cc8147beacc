"""Advice: its topics, its phrasings, and answers that follow from their questions."""

import re
from collections import defaultdict
from itertools import product
from random import Random

import pytest

from fastglm.demo.skills.advice import Advice
from fastglm.demo.skills.base import LANGUAGES, Language, Sample
from fastglm.demo.tables import read_table

ADVICE = Advice()
SAMPLES = [ADVICE.sample(rng) for rng in [Random(0)] for _ in range(6000)]
BOTH = pytest.mark.parametrize("language", LANGUAGES)


def rows(language: Language) -> list[tuple[str, ...]]:
    """The topics in a language: name, two situations, wish, answer."""
    return read_table(f"advice_{language}")


def sentences(answer: str) -> list[str]:
    return re.findall(r"[^。.]+[。.]", answer)


def plain(question: str) -> str:
    """A question without the parts that people type differently."""
    opening = r"(please, |hi, |tell me: |i would like to know: |请问，?|你好，|我想知道，)?"
    return re.sub(f"^{opening}", "", question.lower()).replace("?", "？").rstrip("？")


def test_the_topics_are_the_same_in_both_languages() -> None:
    names = {language: [row[0] for row in rows(language)] for language in LANGUAGES}
    assert names["zh"] == names["en"]
    assert len(set(names["zh"])) == len(names["zh"]) >= 42


@BOTH
def test_every_answer_has_three_or_four_sentences_of_the_right_length(language: Language) -> None:
    for name, *_, answer in rows(language):
        assert "".join(sentences(answer)) == answer, name
        assert 3 <= len(sentences(answer)) <= 4, name
        assert len(answer) >= 80, name
        length = len(answer) if language == "zh" else len(answer.split())
        assert length in (range(80, 121) if language == "zh" else range(45, 71)), name


@BOTH
def test_no_sentence_is_written_twice(language: Language) -> None:
    said = [sentence.strip() for row in rows(language) for sentence in sentences(row[-1])]
    assert len(set(said)) == len(said)


@BOTH
def test_no_subject_asks_for_two_topics(language: Language) -> None:
    subjects = [subject.lower() for row in rows(language) for subject in row[1:4]]
    assert len(set(subjects)) == len(subjects)


def test_the_vocabulary_stays_small() -> None:
    texts = {language: " ".join(" ".join(row[1:]) for row in rows(language)) for language in LANGUAGES}
    assert len(set(re.findall(r"[\u4e00-\u9fff]", texts["zh"]))) < 550
    assert len(set(re.findall(r"[A-Za-z]+", texts["en"]))) < 650
    assert not re.search(r"[A-Za-z0-9]", texts["zh"])
    assert not re.search(r"[^A-Za-z ,.:]", texts["en"])


@BOTH
def test_every_content_word_of_a_phrasing_is_in_three_of_them(language: Language) -> None:
    pattern = r"[a-z]+" if language == "en" else r"应该|办法|怎么|怎样|什么|如果|我|做|能"
    bare = [phrasing.replace("{wish}", "{}").lower() for phrasing in ADVICE.phrasings[language]]
    for word in {word for phrasing in bare for word in re.findall(pattern, phrasing)} - {"it"}:
        assert sum(word in re.findall(pattern, phrasing) for phrasing in bare) >= 3, word


def test_samples_use_everything_and_are_answered_by_their_topic() -> None:
    table = {(language, row[0]): row for language in LANGUAGES for row in rows(language)}
    for sample in SAMPLES:
        _, first, second, wish, answer = table[sample.language, sample.operand]
        assert sample.history == []
        assert sample.answer == answer
        assert plain(sample.question) in {
            plain(sample.phrasing.format(situation, wish=wish)) for situation in (first, second)
        }
    assert {(sample.language, sample.phrasing) for sample in SAMPLES} == {
        (language, phrasing) for language in LANGUAGES for phrasing in ADVICE.phrasings[language]
    }
    assert {(sample.language, sample.operand) for sample in SAMPLES} == set(table)


def test_the_question_alone_tells_the_answer() -> None:
    answers = defaultdict(set)
    for language in LANGUAGES:
        for row, phrasing in product(rows(language), ADVICE.phrasings[language]):
            for situation in row[1:3]:
                answers[plain(phrasing.format(situation, wish=row[3]))].add(row[-1])
    assert all(len(known) == 1 for known in answers.values())


def test_an_english_question_is_capitalised_as_a_sentence() -> None:
    questions = {sample.question for sample in SAMPLES if sample.language == "en"}
    assert any(question.startswith("My head hurts") for question in questions)
    assert not any(re.search(r"\bi\b", question) for question in questions)


@BOTH
def test_the_examples_are_trained_on(language: Language) -> None:
    asked = {
        sample.question: sample
        for sample in (ADVICE.draw(rng, None) for rng in [Random(1)] for _ in range(6000))
        if sample.operand == "cannot sleep at night"
    }
    assert ADVICE.examples[language] in asked


def test_the_first_question_of_all_is_trained_on() -> None:
    sample = Sample([], "晚上睡不着应该怎么办", "", "zh", "{}应该怎么办？", "cannot sleep at night")
    assert sample.phrasing in ADVICE.phrasings["zh"]
    assert ADVICE.split(sample) is None


@BOTH
def test_both_forms_hold_out_some_phrasings_and_train_on_more(language: Language) -> None:
    phrasings = ADVICE.phrasings[language]
    for form in ("{}", "{wish}"):
        group = {phrasing for phrasing in phrasings if form in phrasing}
        held_out = group & ADVICE._held_out_phrasings
        assert 1 <= len(held_out) <= len(group) / 4
