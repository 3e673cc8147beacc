"""The demo corpus: the same for a seed, split without leaks, right in what it says."""

import re
from itertools import islice
from random import Random

import pytest

from fastglm.demo.corpus import earlier_round, held_out_samples, is_held_out, training_samples
from fastglm.demo.skills import SKILLS, Sample
from fastglm.demo.skills.arithmetic import Addition, Counting, Subtraction
from fastglm.demo.skills.facts import Opposites
from fastglm.demo.skills.talk import NameMemory

BY_NAME = {skill.name: skill for skill in SKILLS}


def draw(seed: int, step: int, count: int = 50) -> list[Sample]:
    return list(islice(training_samples(seed, step), count))


def test_a_seed_and_a_step_give_the_same_samples() -> None:
    assert draw(1, 5) == draw(1, 5)
    assert draw(1, 5) != draw(1, 6)
    assert draw(1, 5) != draw(2, 5)


def test_skills_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(SKILLS)


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_an_answer_follows_from_the_question(skill: object) -> None:
    """Exact answers can only be counted if a conversation has one answer."""
    rng, answers = Random(0), {}
    for _ in range(1000):
        sample = BY_NAME[skill.name].sample(rng)  # type: ignore[attr-defined]
        conversation = repr((sample.history, sample.question))
        assert answers.setdefault(conversation, sample.answer) == sample.answer


def test_no_held_out_question_is_trained_on() -> None:
    held_out = {repr(s) for samples in held_out_samples(0, 10).values() for s in samples}
    trained = {
        repr(s._replace(history=s.history[unrelated:]))
        for step in range(20)
        for s in draw(0, step, 100)
        for unrelated in range(len(s.history) + 1)
    }
    assert not held_out & trained


def test_a_name_is_held_out_in_every_wording() -> None:
    told, asked = (
        Sample([], "叫我小明吧", "你好，小明！很高兴认识你。"),
        Sample([("我是小明", "")], "我是谁？", "你叫小明。"),
    )
    assert NameMemory().identity(told) == NameMemory().identity(asked) == "小明"
    denied = Sample([], "Who am I?", "You have not told me your name yet. What is your name?")
    assert NameMemory().identity(denied) == "whoami"


def test_every_skill_has_held_out_questions_and_they_stay_the_same() -> None:
    questions = held_out_samples(0, 10)
    assert questions == held_out_samples(0, 10)
    assert all(len(samples) >= 5 for samples in questions.values())


@pytest.mark.parametrize(
    ("skill", "question"),
    [
        ("greeting", "你好"),
        ("greeting", "Hello"),
        ("self", "你是谁？"),
        ("addition", "1+1=?"),
        ("addition", "3加5等于多少？"),
        ("advice", "晚上睡不着应该怎么办？"),
        ("advice", "晚上睡不着应该怎么办"),
    ],
)
def test_what_people_try_first_is_trained_on(skill: str, question: str) -> None:
    assert not is_held_out(BY_NAME[skill], Sample([], question, ""))


def test_a_sum_is_held_out_in_every_wording() -> None:
    wordings = ("3加5等于多少？", "What is 3 plus 5?", "三加五等于几", "Hi, calculate 3+5")
    assert {Addition().identity(Sample([], wording, "")) for wording in wordings} == {"3 5"}


def test_facts_are_held_out_by_wording_not_by_opening_or_mark() -> None:
    wordings = ("大的反义词是什么？", "请问，大的反义词是什么", "我想知道，大的反义词是什么?")
    assert len({Opposites().identity(Sample([], wording, "")) for wording in wordings}) == 1
    assert Opposites().identity(Sample([], "小的反义词是什么？", "")) != Opposites().identity(
        Sample([], wordings[0], "")
    )


@pytest.mark.parametrize(("skill", "sign"), [(Addition(), 1), (Subtraction(), -1)])
def test_calculations_are_right(skill: Addition | Subtraction, sign: int) -> None:
    rng = Random(0)
    digits = [
        numbers for _ in range(2000) if len(numbers := re.findall(r"-?\d+", skill.sample(rng).answer)) == 3
    ]  # the others are in words
    assert len(digits) > 1000
    assert all(int(a) + sign * int(b) == int(c) for a, b, c in digits)


def test_counting_reaches_what_was_asked_for() -> None:
    rng = Random(0)
    for _ in range(500):
        sample = Counting().sample(rng)
        first, last = map(int, re.findall(r"\d+", sample.question))
        numbers = [int(n) for n in re.findall(r"\d+", sample.answer)]
        step = 1 if last > first else -1
        assert numbers == list(range(first, last + step, step))


def test_a_name_is_answered_from_the_history() -> None:
    rng = Random(0)
    told = [s for _ in range(500) if len((s := NameMemory().sample(rng)).history) and "没有" not in s.answer]
    remembered = [s for s in told if "not told" not in s.answer]
    assert len(remembered) > 200
    for sample in remembered:
        name = re.sub(r"你叫|Your name is|[。.\s]", "", sample.answer)
        assert name in sample.history[0][0]


def test_earlier_rounds_do_not_contradict_the_answer() -> None:
    """A name told in an earlier round would make "you have not told me your name" wrong."""
    rng = Random(0)
    told = re.compile(r"你好，[^！]+！很高兴认识你。|Hello, \w+! Nice to meet you\.")
    rounds = [earlier_round(rng, BY_NAME["name"]) for _ in range(1000)]
    assert not any(told.fullmatch(response) for _, response in rounds)
