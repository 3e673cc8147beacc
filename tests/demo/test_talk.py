"""Greetings, courtesy and self-introduction: one answer per question, and enough phrasings."""

import re
from collections import Counter
from random import Random

import pytest

from fastglm.demo.skills.base import EntrySkill
from fastglm.demo.skills.talk import Courtesy, Greeting, SelfIntroduction

SKILLS: tuple[EntrySkill, ...] = (Greeting(), Courtesy(), SelfIntroduction())
each_skill = pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)


@each_skill
def test_a_question_has_one_answer(skill: EntrySkill) -> None:
    rng, answers, phrasings = Random(0), {}, set()
    for _ in range(6000):
        sample = skill.sample(rng)
        assert answers.setdefault(sample.question, sample.answer) == sample.answer
        assert not sample.history
        phrasings.add(sample.phrasing)
    assert phrasings == {text for entry in skill.entries for text in (*entry.zh, *entry.en)}


@each_skill
def test_an_answer_is_in_the_language_of_its_question(skill: EntrySkill) -> None:
    for entry in skill.entries:
        assert all(not text.isascii() for text in (*entry.zh, entry.zh_answer))
        assert all(text.isascii() for text in (*entry.en, entry.en_answer))


@each_skill
def test_an_entry_has_ten_phrasings_a_language_and_none_twice(skill: EntrySkill) -> None:
    counts = Counter(text for entry in skill.entries for text in (*entry.zh, *entry.en))
    assert max(counts.values()) == 1, counts.most_common(3)
    assert all(len(group) >= 10 for group in skill.groups())


@each_skill
def test_no_word_of_a_held_out_phrasing_is_new(skill: EntrySkill) -> None:
    trained = Counter(
        token
        for group in skill.groups()
        for text in group
        if text not in skill._held_out_phrasings
        for token in re.findall(r"[a-z'-]+|[\u4e00-\u9fff]", text.lower())
    )
    for text in skill._held_out_phrasings:
        for token in re.findall(r"[a-z'-]+|[\u4e00-\u9fff]", text.lower()):
            assert trained[token], (token, text)


@each_skill
def test_its_examples_are_trained_on(skill: EntrySkill) -> None:
    for example in skill.examples.values():
        assert example in {text for group in skill.groups() for text in group} - skill._held_out_phrasings


def test_the_model_says_how_big_it_is() -> None:
    size = next(entry for entry in SelfIntroduction.entries if entry.name == "size")
    assert "ten million parameters" in size.en_answer
    assert "一千万个参数" in size.zh_answer
