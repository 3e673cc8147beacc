"""Memory: the answer is a fact that the user told, however far back, and a refusal if the user told none."""

import re
from random import Random

import pytest
from drawing import drawn

from fastglm.demo.skills.base import Sample
from fastglm.demo.skills.memory import Memory
from fastglm.demo.skills.talk import Courtesy, Greeting

OTHERS = (Greeting(), Courtesy())
MEMORY = Memory(OTHERS)
TOLD = re.compile(
    r"好的，我记住了。|你好，[^，]+！很高兴认识你。|All right, I will remember that\.|Hello, [\w ]+! Nice to meet you\."
)
WORDS = {"room": re.compile("房间|房号|room"), "code": re.compile("密码|code"), "age": re.compile("岁|年龄|years|age")}
NOTHING_TOLD = ("还没有告诉我", "have not told me")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return drawn(MEMORY)


def told(sample: Sample) -> list[str]:
    """The user's texts in the rounds that tell something."""
    return [query for query, response in sample.history if TOLD.fullmatch(response)]


def test_the_answer_was_told(samples: list[Sample]) -> None:
    asked = [s for s in samples if s.operand not in MEMORY._slot_names and s.phrasing[-1] in "？?" and s.history]
    assert len(asked) > 1000
    for sample in asked:
        value = sample.operand
        if sample.language == "zh" and value.isascii() and not value.isdigit():
            value = sample.answer.removeprefix("你").removesuffix("。")  # told in Chinese
            value = value.removeprefix("最喜欢的颜色是").removeprefix("喜欢").removeprefix("有一只")
        assert value in sample.answer
        assert any(value in query for query, _ in sample.history), sample


def test_nothing_is_remembered_that_was_not_told(samples: list[Sample]) -> None:
    for sample in samples:
        nothing = any(text in sample.answer for text in NOTHING_TOLD)
        assert nothing == (sample.operand in MEMORY._slot_names)
        if nothing:
            slot = next(s for s in MEMORY._slots[sample.language] if s.name == sample.operand)
            assert sample.answer == slot.unknown
            if slot.name in ("room", "code", "age"):
                assert not any(WORDS[slot.name].search(query) for query in told(sample)), sample


def test_the_question_is_about_either_of_two_told_facts(samples: list[Sample]) -> None:
    """After two told facts, the question asks about either."""
    two = [s for s in samples if len(told(s)) == 2 and s.operand not in MEMORY._slot_names]
    position = [told(s)[0].find(s.answer.rstrip("。.").split()[-1]) >= 0 for s in two if s.language == "en"]
    assert 0.3 < sum(position) / len(position) < 0.7


def test_histories_hold_nothing_that_is_held_out(samples: list[Sample]) -> None:
    tellings = {
        (slot.language, text.rstrip("。."))
        for slots in MEMORY._slots.values()
        for slot in slots
        for text in slot.tellings
    }
    held_out = {text.rstrip("。.") for text in MEMORY._held_out_phrasings}
    trained = [s for s in (MEMORY.draw(Random(seed), None) for seed in range(300)) if s.history]
    for sample in trained:
        for query in told(sample):
            ways = [
                text
                for language, text in tellings
                if language == sample.language
                and query.startswith(text.split("{}")[0])
                and query.rstrip("。.").endswith(text.split("{}")[1])
            ]
            assert any(way not in held_out for way in ways), query


def test_held_out_operands_are_of_known_parts() -> None:
    rng = Random(0)
    parts: set[str] = set()
    for _ in range(8000):
        operand = MEMORY.draw(rng, None).operand
        parts |= {*operand.split(), *operand}
    for _ in range(300):
        operand = MEMORY.draw(rng, "new operands").operand
        pieces = operand.split() if operand.isascii() and not operand.isdigit() else list(operand)
        assert set(pieces) <= parts, operand


def test_rounds_between_are_short_and_of_the_same_language(samples: list[Sample]) -> None:
    lengths = set()
    for sample in samples:
        lengths.add(len(sample.history))
        for query, response in sample.history:
            assert len(query) + len(response) < 100
            assert response.isascii() == (sample.language == "en")
    assert lengths == {0, 1, 2, 3, 4, 5}


def test_a_memory_needs_no_other_skills() -> None:
    rng = Random(0)
    assert all(len(Memory(()).sample(rng).history) <= 2 for _ in range(100))
