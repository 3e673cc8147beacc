"""Follow-ups: sums continue from the last result, questions about countries from the last country."""

import re
from random import Random

import pytest
from drawing import drawn

from fastglm.demo.skills.arithmetic import Addition, Subtraction
from fastglm.demo.skills.base import Sample, Skill
from fastglm.demo.skills.countries import COUNTRIES, Capitals
from fastglm.demo.skills.follow_up import LARGEST_RESULT, FollowUpCountries, FollowUpSums

SUMS = FollowUpSums([Addition(), Subtraction()])
ABOUT_COUNTRIES = FollowUpCountries([Capitals()])
each_skill = pytest.mark.parametrize("skill", [SUMS, ABOUT_COUNTRIES], ids=lambda skill: skill.name)


def test_a_sum_goes_on_from_the_last_result() -> None:
    for sample in drawn(SUMS):
        before = int(re.findall(r"\d+", sample.history[-1][1])[-1])
        (number,) = map(int, re.findall(r"\d+", sample.question))
        takes = re.search("减|minus|subtract", sample.question.lower())
        result = before - number if takes else before + number
        assert sample.answer[:-1] == f"{before}{'-' if takes else '+'}{number}={result}"
        assert 0 <= result <= LARGEST_RESULT


def test_a_sum_is_held_out_wherever_the_calculation_is() -> None:
    addition, subtraction = Addition(), Subtraction()
    for sample in drawn(SUMS):
        left, right = map(int, re.findall(r"\d+", sample.answer)[:2])
        home = addition if "+" in sample.answer else subtraction
        split = home.split(Sample([], "", "", sample.language, "", home.operand(left, right)))
        assert SUMS.split(sample) in (split, "new phrasing")


def test_a_country_is_told_of_as_the_capitals_skill_does() -> None:
    rng, capitals = Random(1), Capitals()
    told = {capitals.sample(rng).answer for _ in range(6000)}
    assert {sample.answer for sample in drawn(ABOUT_COUNTRIES)} <= told


def test_a_country_stays_or_the_question_does() -> None:
    for sample in drawn(ABOUT_COUNTRIES):
        zh = sample.language == "zh"
        before, after = sample.history[-1][1].lower(), sample.answer.lower()
        about_capital = [("首都" if zh else "capital") in text for text in (before, after)]
        named = [c for c in COUNTRIES if (c.zh if zh else c.en).lower() in after]
        if "{}" in sample.phrasing:
            assert about_capital[0] == about_capital[1]
            assert any((c.zh if zh else c.en) in sample.question for c in named)
        else:
            assert about_capital[0] != about_capital[1]
            assert any((c.zh if zh else c.en).lower() in before for c in named)


@each_skill
def test_conversations_have_one_round_or_two_before(skill: Skill) -> None:
    assert {len(sample.history) for sample in drawn(skill)} == {1, 2}


@each_skill
def test_histories_hold_no_phrasing_that_is_held_out(skill: Skill) -> None:
    forms = {
        text: re.compile(re.escape(text.rstrip("？?.")).replace(r"\{\}", ".+") + "[？?.]?")
        for texts in skill.phrasings.values()
        for text in texts
    }
    for sample in drawn(skill, 1000):
        for question, _ in sample.history[1:]:
            asked = {text for text, form in forms.items() if form.fullmatch(question)}
            assert not asked <= skill._held_out_phrasings, question


def test_examples_begin_a_conversation_in_a_form_that_is_trained_on() -> None:
    for skill, home in ((SUMS, Addition()), (ABOUT_COUNTRIES, Capitals())):
        trained = {text for group in home.groups() for text in group} - home._held_out_phrasings
        forms = [re.sub(r"\\\{\w*\\\}", ".+", re.escape(text)) for text in trained]
        for example in skill.examples.values():
            assert any(re.fullmatch(form, example) for form in forms), example
