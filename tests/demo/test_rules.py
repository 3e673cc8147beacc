"""Properties of every skill with rules about letters, times and units: wordings, operands and examples."""

import re
from random import Random

import pytest

from fastglm.demo.skills import SKILLS, Sample, Skill

NAMES = ("counting", "reversal", "first_last", "weekdays", "months", "clock", "units")


@pytest.fixture(scope="module", params=[skill for skill in SKILLS if skill.name in NAMES], ids=lambda skill: skill.name)
def drawn(request: pytest.FixtureRequest) -> tuple[Skill, list[Sample]]:
    """A skill and samples of it."""
    rng = Random(0)
    return request.param, [request.param.sample(rng) for _ in range(4000)]


def test_every_phrasing_is_used_and_named(drawn: tuple[Skill, list[Sample]]) -> None:
    skill, samples = drawn
    assert {s.phrasing for s in samples} == {phrasing for group in skill.groups() for phrasing in group}
    assert all(s.phrasing in skill.phrasings[s.language] for s in samples)
    assert all(as_asked(s.phrasing).search(s.question) for s in samples)


def test_an_operand_has_one_answer_in_every_wording(drawn: tuple[Skill, list[Sample]]) -> None:
    skill, samples = drawn
    by_question: dict[str, str] = {}
    by_operand: dict[tuple[str, str], str] = {}
    for s in samples:
        assert by_question.setdefault(s.question, s.answer) == s.answer
        assert skill.check(s.answer, by_operand.setdefault((s.operand, s.language), s.answer))
    assert {o for o, language in by_operand if language == "zh"} & {o for o, language in by_operand if language == "en"}


def test_held_out_phrasings_use_words_of_trained_ones(drawn: tuple[Skill, list[Sample]]) -> None:
    skill, _ = drawn
    for group in skill.groups():
        held_out = [p for p in group if skill.split(Sample([], "", "", "en", p, "")) == "new phrasing"]
        assert len(held_out) >= 2
        trained = set().union(*(words(p) for p in group if p not in held_out))
        assert set().union(*map(words, held_out)) <= trained


def test_the_examples_are_of_a_trained_form(drawn: tuple[Skill, list[Sample]]) -> None:
    skill, samples = drawn
    trained = {s.phrasing for s in samples if skill.split(s) is None}
    for language, example in skill.examples.items():
        assert any(as_asked(p).fullmatch(example[:-1]) for p in trained & set(skill.phrasings[language]))


def as_asked(phrasing: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(phrasing.rstrip("？?。."))), re.IGNORECASE)


def words(phrasing: str) -> set[str]:
    return set(re.findall(r"\{\w+\}|[a-z]+|[\u4e00-\u9fff]", phrasing.lower()))
