"""The demo corpus: equal for equal seeds, split without leaks, and suited to the chat."""

import re
from itertools import islice
from random import Random

import pytest

from fastglm.demo.corpus import held_out_samples, training_samples, unrelated_round
from fastglm.demo.skills import LANGUAGES, SKILLS, Sample, Skill
from fastglm.demo.skills.base import vary
from fastglm.models.chatglm.conversation import clean_response

BY_NAME = {skill.name: skill for skill in SKILLS}
each_skill = pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)


def draw(seed: int, step: int, count: int = 50) -> list[Sample]:
    return list(islice(training_samples(seed, step), count))


def asked(sample: Sample) -> str:
    """The content of a question for a reader, without its case, its last mark and an added opening."""
    opening = _OPENING.match(sample.question.lower())
    added = opening is not None and not sample.phrasing.lower().startswith(opening[0])
    question = sample.question[opening.end() if opening and added else 0 :]
    return "\n".join(text.lower().strip("？?。.！! ") for text in (*(query for query, _ in sample.history), question))


_OPENING = re.compile(r"^(请问，?|你好，|我想知道，|please, |hi, |tell me: |i would like to know: )")


def test_a_seed_and_a_step_give_the_same_samples() -> None:
    assert draw(1, 5) == draw(1, 5)
    assert draw(1, 5) != draw(1, 6)
    assert draw(1, 5) != draw(2, 5)


def test_practice_asks_more_often_what_is_hard() -> None:
    hard = BY_NAME["weekdays"]
    phrasings = {text for group in hard.groups() for text in group}
    usual, practised = (
        sum(sample.phrasing in phrasings for sample in islice(training_samples(0, 0, practising), 4000))
        for practising in (False, True)
    )
    assert practised > 2 * usual > 0


def test_there_are_more_than_twenty_skills_with_names_of_their_own() -> None:
    assert len(BY_NAME) == len(SKILLS) > 20
    assert len({skill.titles[language] for skill in SKILLS for language in LANGUAGES}) == 2 * len(SKILLS)


def test_every_skill_is_trained_on_in_both_languages() -> None:
    samples = draw(0, 0, 6000)
    for language in LANGUAGES:
        phrasings = {sample.phrasing for sample in samples if sample.language == language}
        for skill in SKILLS:
            assert phrasings & {text for group in skill.groups() for text in group}, (skill.name, language)


@each_skill
def test_a_skill_draws_what_it_is_asked_for(skill: Skill) -> None:
    rng = Random(0)
    assert skill.split(skill.draw(rng, None)) is None
    assert skill.split(skill.draw(rng, "new phrasing")) == "new phrasing"


@each_skill
def test_a_fifth_of_the_phrasings_is_held_out(skill: Skill) -> None:
    for group in skill.groups():
        assert len(skill._held_out_phrasings & set(group)) >= round(len(group) / 5)


@pytest.mark.parametrize("skill", [s for s in SKILLS if s.kind == "rule"], ids=lambda skill: skill.name)
def test_operands_of_a_rule_are_held_out_in_every_wording(skill: Skill) -> None:
    rng = Random(0)
    samples = [skill.sample(rng) for _ in range(6000)]
    held_out = {sample.operand for sample in samples if skill.split(sample) == "new operands"}
    assert held_out
    assert not held_out & {sample.operand for sample in samples if skill.split(sample) is None}


@each_skill
def test_answers_are_as_the_chat_shows_them(skill: Skill) -> None:
    """An answer that the published clean-up changes could never be right."""
    rng = Random(0)
    for _ in range(300):
        sample = skill.sample(rng)
        assert clean_response(sample.answer) == sample.answer
        assert skill.check(sample.answer, sample.answer)
        assert not skill.check("", sample.answer)


@each_skill
def test_held_out_questions_stay_the_same_and_differ(skill: Skill) -> None:
    for language in LANGUAGES:
        samples = held_out_samples(0, skill, "new phrasing", language, 12)
        assert samples == held_out_samples(0, skill, "new phrasing", language, 12)
        assert len({(repr(s.history), s.question) for s in samples}) == len(samples) >= 5
        assert {s.language for s in samples} == {language}


@pytest.mark.parametrize("steps", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_no_training_question_is_held_out(steps: int) -> None:
    """Compares the texts alone, not the split by which the corpus draws."""
    held_out: dict[str, Sample] = {}
    for skill in SKILLS:
        for split in ("new operands", "new phrasing"):
            for language in LANGUAGES:
                for sample in held_out_samples(1, skill, split, language, 60):
                    held_out[asked(sample)] = sample
    assert len(held_out) > 5000
    seen = 0
    for step in range(steps):
        for sample in draw(0, step, 500):
            seen += 1
            rounds = len(sample.history)
            for unrelated in range(rounds + 1):  # with and without the unrelated rounds before it
                key = asked(sample._replace(history=sample.history[unrelated:]))
                assert key not in held_out, (sample, held_out[key])
    assert seen == 500 * steps


@pytest.mark.parametrize(
    ("skill", "phrasing"),
    [
        ("greeting", "你好！"),
        ("greeting", "Hello!"),
        ("self", "你是谁？"),
        ("self", "Who are you?"),
        ("addition", "{a}+{b}=?"),
        ("addition", "What is {a}+{b}?"),
        ("capitals", "What is the capital of {}?"),
        ("capitals", "{}的首都是哪里？"),
        ("opposites", "What is the opposite of {}?"),
        ("advice", "{}应该怎么办？"),
    ],
)
def test_the_first_tries_of_people_are_trained_on(skill: str, phrasing: str) -> None:
    assert any(phrasing in group for group in BY_NAME[skill].groups())
    assert phrasing not in BY_NAME[skill]._held_out_phrasings


def test_unrelated_rounds_are_short_and_of_other_skills() -> None:
    rng = Random(0)
    memory = BY_NAME["memory"]
    for _ in range(500):
        question, answer = unrelated_round(rng, memory)
        assert len(question + answer) <= 60
        assert not re.search("我记住了|^你好，.+！很高兴认识你|I will remember|^Hello, .+! Nice to meet you", answer)


def test_questions_are_typed_in_several_ways() -> None:
    rng = Random(0)
    ways = {vary(rng, "What is red?", "en") for _ in range(300)}
    assert {"What is red?", "What is red", "what is red?", "Please, what is red?"} <= ways
    assert {"红是什么？", "红是什么?", "请问，红是什么"} <= {vary(rng, "红是什么？", "zh") for _ in range(300)}
