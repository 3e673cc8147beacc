"""Comparing and sorting: the answers are those of Python's own comparison and sorting."""

import re

import pytest
from drawing import drawn

from fastglm.demo.skills.base import LANGUAGES, Skill
from fastglm.demo.skills.ordering import Comparison, Ordering

SKILLS = (Comparison(), Ordering())
WHETHER = re.compile(r"吗|是不是|^Is ")
DOWN = re.compile(r"小[？吗于]|比.*小|哪个.*小|smaller|从大到小|降序|to smallest|descending")
every_skill = pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)


def numbers(text: str) -> list[int]:
    return list(map(int, re.findall(r"\d+", text)))


def sentence(left: int, right: int, language: str) -> str:
    """The sentence that compares the first number with the second."""
    if left == right:
        return f"{left}和{right}一样大。" if language == "zh" else f"{left} and {right} are equal."
    if language == "zh":
        return f"{left}比{right}{'大' if left > right else '小'}。"
    return f"{left} is {'larger' if left > right else 'smaller'} than {right}."


def test_the_number_asked_for_is_named_first() -> None:
    for sample in drawn(Comparison()):
        if not WHETHER.search(sample.phrasing):
            pair = numbers(sample.question)
            first = min(pair) if DOWN.search(sample.phrasing) else max(pair)
            second = sum(pair) - first
            assert sample.answer == sentence(first, second, sample.language), sample


def test_yes_and_no_follow_from_what_the_first_number_is() -> None:
    for sample in drawn(Comparison()):
        if WHETHER.search(sample.phrasing):
            left, right = numbers(sample.question)
            true = left < right if DOWN.search(sample.phrasing) else left > right
            word = {"zh": ("，所以不是。", "，所以是的。"), "en": (", so no.", ", so yes.")}[sample.language][true]
            assert sample.answer == sentence(left, right, sample.language)[:-1] + word, sample


def test_comparisons_are_of_every_kind() -> None:
    samples = drawn(Comparison())
    pairs = [numbers(s.question) for s in samples]
    assert {len(str(n)) for pair in pairs for n in pair} == {1, 2, 3}
    assert 0.03 < sum(left == right for left, right in pairs) / len(pairs) < 0.15
    yes = [s.answer.endswith(("是的。", "yes.")) for s in samples if WHETHER.search(s.phrasing)]
    assert 0.35 < sum(yes) / len(yes) < 0.55


def test_a_sorted_list_is_python_s() -> None:
    for sample in drawn(Ordering()):
        given = numbers(sample.question)
        assert 3 <= len(given) == len(set(given)) <= 5
        expected = map(str, sorted(given, reverse=bool(DOWN.search(sample.phrasing))))
        written = "、".join(expected) + "。" if sample.language == "zh" else ", ".join(expected) + "."
        assert sample.answer == written, sample


@every_skill
def test_a_sample_says_what_it_is(skill: Skill) -> None:
    samples = drawn(skill)
    for language in LANGUAGES:
        assert {s.phrasing for s in samples if s.language == language} == set(skill.phrasings[language])
        assert len(set(skill.phrasings[language])) == len(skill.phrasings[language])
    for sample in samples:
        assert sample.operand == " ".join(map(str, sorted(numbers(sample.question))))
        assert sample.history == []


@every_skill
def test_groups_are_all_phrasings_and_each_asks_one_thing(skill: Skill) -> None:
    groups = list(skill.groups())
    everything = sorted(phrasing for language in LANGUAGES for phrasing in skill.phrasings[language])
    assert sorted(phrasing for group in groups for phrasing in group) == everything
    for group in groups:
        assert len({bool(DOWN.search(p)) for p in group}) == len({bool(WHETHER.search(p)) for p in group}) == 1


@every_skill
def test_a_fifth_of_each_group_and_a_tenth_of_the_operands_is_held_out(skill: Skill) -> None:
    samples = drawn(skill, 6000)
    new = {s.phrasing for s in samples if skill.split(s) == "new phrasing"}
    for group in skill.groups():
        assert len(new & set(group)) == round(len(group) / 5) >= 1
    operands = [skill.split(s) == "new operands" for s in samples if s.phrasing not in new]
    assert 0.07 < sum(operands) / len(operands) < 0.13
