"""Refusals: many questions, one answer, and no question that another skill answers."""

import re
from random import Random

import pytest
from drawing import drawn

from fastglm.demo.skills.arithmetic import Addition, LongAddition, Multiplication, Subtraction
from fastglm.demo.skills.base import LANGUAGES, Skill
from fastglm.demo.skills.colours import Colours
from fastglm.demo.skills.countries import Capitals
from fastglm.demo.skills.elements import Elements
from fastglm.demo.skills.idioms import Idioms
from fastglm.demo.skills.opposites import Opposites
from fastglm.demo.skills.planets import Planets
from fastglm.demo.skills.refusal import (
    ANSWERS,
    BORROWED_FRAMES,
    OWN_FRAMES,
    SUBJECTS,
    WHOLE_QUESTIONS,
    Refusal,
    StrangeWords,
)
from fastglm.demo.skills.talk import Courtesy, Greeting, SelfIntroduction
from fastglm.demo.skills.terms import Terms
from fastglm.demo.skills.translation import Translation
from fastglm.demo.tables import read_table

SUMS = (Addition(), LongAddition(), Subtraction(), Multiplication())
REFUSAL, STRANGE = Refusal(SUMS), StrangeWords()
FACTS = (Capitals(), Elements(), Opposites(), Colours(), Planets())
each_skill = pytest.mark.parametrize("skill", [REFUSAL, STRANGE], ids=lambda skill: skill.name)


def bare(subject: str) -> str:
    return re.sub(r"^(an?|the) ", "", subject).lower()


def known_words() -> set[str]:
    tables = ("words", "colours", "opposites_zh", "opposites_en", "elements", "planets", "countries")
    cells = {bare(cell) for table in tables for row in read_table(table) for cell in row[:4]}
    cells |= {row[0] for language in LANGUAGES for row in read_table(f"idioms_{language}")}
    return cells | {bare(cell) for row in read_table("terms") for cell in (row[0], row[2])}


@each_skill
def test_a_refusal_is_always_the_same(skill: Skill) -> None:
    for sample in drawn(skill):
        assert sample.answer == ANSWERS[sample.language]
        assert not sample.history


def test_no_subject_is_known_to_another_skill() -> None:
    known = known_words()
    assert {"狗", "dog", "法国", "paris", "铁", "banana", "火星", "pruning", "画蛇添足"} <= known
    subjects = {bare(s) for of_kind in SUBJECTS.values() for in_language in of_kind.values() for s in in_language}
    assert not subjects & known


def test_strange_words_are_known_to_no_skill() -> None:
    known = known_words()
    assert not [s.operand for s in drawn(STRANGE, 10_000) if s.operand.lower() in known]


def test_no_question_is_answered_by_another_skill() -> None:
    rng = Random(1)
    others = (*FACTS, Idioms(), Terms(), Translation(), *SUMS, Greeting(), Courtesy(), SelfIntroduction())
    plain = str.maketrans("", "", "？?。.！! ")
    answered = {skill.sample(rng).question.lower().translate(plain) for skill in others for _ in range(1500)}
    for skill in (REFUSAL, STRANGE):
        refused = {sample.question.lower().translate(plain) for sample in drawn(skill)}
        assert not refused & answered


def test_another_skills_held_out_phrasing_is_held_out_here() -> None:
    others = (*FACTS, Idioms(), Terms(), Translation(), *SUMS)
    held_out = {text for other in others for text in other._held_out_phrasings}
    for skill in (REFUSAL, STRANGE):
        borrowed = [sample for sample in drawn(skill, 8000) if sample.phrasing in held_out]
        assert len({sample.phrasing for sample in borrowed}) > 50
        assert {skill.split(sample) for sample in borrowed} == {"new phrasing"}


def test_own_phrasings_are_no_other_skills() -> None:
    other = {re.sub(r"\{\w+\}", "{}", text) for frames in BORROWED_FRAMES for text in frames.phrasings}
    own = {text for frames in OWN_FRAMES for text in frames.phrasings}
    own |= {text for texts in WHOLE_QUESTIONS.values() for group in texts.values() for text in group}
    assert not own & other


def test_borrowed_questions_are_of_every_skill() -> None:
    used = {sample.phrasing for sample in drawn(REFUSAL, 8000)}
    for other in (*FACTS, Idioms(), Terms(), Translation(), *SUMS):
        assert used & {text for group in other.groups() for text in group}, other.name


def test_numbers_are_too_long_for_sums() -> None:
    phrasings = {text for skill in SUMS for group in skill.groups() for text in group}
    asked = [sample for sample in drawn(REFUSAL) if sample.phrasing in phrasings]
    assert len(asked) > 100
    assert all(max(map(int, re.findall(r"\d+", sample.question))) > 999 for sample in asked)
