"""Poems: about their topic, in lines that fit each other, rhymed, varied."""

import re
from random import Random

import pytest
from drawing import drawn

from fastglm.demo.evaluation.texts import distinct, repeated_sentences
from fastglm.demo.skills.base import LANGUAGES, Language, Sample
from fastglm.demo.skills.poems import Poems

# The sound of a word's end, written separately from the grammar that makes the rhymes.
ENGLISH_RHYMES = (
    "today way play stay",
    "light sight bright kite white",
    "me tree be free tea see",
    "sing ring swing bring",
    "slow know go glow grow show",
    "all small wall ball call",
    "near hear dear clear appear fear",
    "sound around ground found",
    "you true blue do new two too",
    "sleep keep sheep",
    "soon tune spoon",
    "stop top hop drop",
    "there hair care share chair everywhere bear",
    "gold old cold told hold bold",
    "rest west nest best",
    "land hand stand sand understand",
    "street meet eat sweet feet",
    "look cook book",
)
CHINESE_RHYMES = (
    "唱香忙光上旁裳阳方装亮",
    "跑笑草好叫早高抱觉闹桥",
    "甜闪船边山前看烟千暖天间",
    "听星静晶停晴醒景轻清",
)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return drawn(Poems())


def of(samples: list[Sample], language: Language) -> list[Sample]:
    return [sample for sample in samples if sample.language == language]


def words(line: str) -> list[str]:
    return re.findall(r"[a-z']+", line.lower())


def test_a_poem_has_four_to_eight_lines_and_is_long_enough(samples: list[Sample]) -> None:
    for sample in samples:
        assert 4 <= len(sample.answer.split("\n")) <= 8
        assert len(sample.answer) >= (40 if sample.language == "zh" else 80), sample.answer


def test_chinese_lines_have_five_or_seven_characters(samples: list[Sample]) -> None:
    for sample in of(samples, "zh"):
        lengths = {len(line) - 1 for line in sample.answer.split("\n")}
        assert lengths in ({5}, {7}), sample.answer
        assert re.fullmatch(r"(?:[\u4e00-\u9fff]+，\n[\u4e00-\u9fff]+。\n?)+", sample.answer), sample.answer


def test_english_lines_are_short(samples: list[Sample]) -> None:
    assert all(3 <= len(words(line)) <= 12 for s in of(samples, "en") for line in s.answer.split("\n"))


def test_english_couplets_rhyme_on_two_words(samples: list[Sample]) -> None:
    sound = {word: number for number, group in enumerate(ENGLISH_RHYMES) for word in group.split()}
    for sample in of(samples, "en"):
        ends = [words(line)[-1] for line in sample.answer.split("\n")]
        for first, second in zip(ends[::2], ends[1::2], strict=True):
            assert first != second, sample.answer
            assert sound[first] == sound[second], sample.answer


def test_chinese_even_lines_rhyme(samples: list[Sample]) -> None:
    for sample in of(samples, "zh"):
        ends = {line[-2] for line in sample.answer.split("\n")[1::2]}
        assert any(ends <= set(group) for group in CHINESE_RHYMES), sample.answer


def test_question_and_first_line_name_the_topic(samples: list[Sample]) -> None:
    topics = {language: Poems().grammars[language].rows("topic") for language in LANGUAGES}
    assert [row["en"] for row in topics["zh"]] == [row["en"] for row in topics["en"]]
    chinese = {row["en"]: row["zh"] for row in topics["zh"]}
    assert len(chinese) == 24
    for sample in samples:
        name = chinese[sample.operand] if sample.language == "zh" else sample.operand
        assert name in sample.question.lower()
        assert name in sample.answer.split("\n")[0].lower()


@pytest.mark.parametrize("language", LANGUAGES)
def test_poems_are_varied(samples: list[Sample], language: Language) -> None:
    answers = [sample.answer for sample in of(samples, language)]
    assert distinct(answers[:200], 4) >= 0.7
    assert len(set(answers)) == len(answers)


def test_no_line_comes_twice_in_a_poem(samples: list[Sample]) -> None:
    assert not [sample.answer for sample in samples if repeated_sentences(sample.answer)]


def test_english_is_spelled_as_lines(samples: list[Sample]) -> None:
    for sample in of(samples, "en"):
        assert all(line[0].isupper() for line in sample.answer.split("\n"))
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|  | [.,]|[{}|/#]", sample.answer), sample.answer


def test_the_same_state_gives_the_same_poem() -> None:
    assert Poems().sample(Random(5)) == Poems().sample(Random(5))
