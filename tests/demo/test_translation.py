"""Translation: words that have one translation each way, and answers that are the table's."""

import re
from collections import Counter

import pytest
from drawing import drawn

from fastglm.demo.skills.base import Language, Sample
from fastglm.demo.skills.translation import FEWEST, MOST, Translation

SKILL = Translation()
ENGLISH = dict(SKILL.words)
CHINESE = {en: zh for zh, en in SKILL.words}


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return drawn(SKILL)


def translated(sample: Sample) -> str:
    """The answer, worked out from the operand alone."""
    to_english = not sample.operand.isascii()
    words = sample.operand.split("、" if to_english else ", ")
    found = [ENGLISH[word] if to_english else CHINESE[word] for word in words]
    target: Language = "en" if to_english else "zh"
    if len(words) > 1:
        return {
            ("zh", "en"): "英语是 {}。",
            ("zh", "zh"): "中文是{}。",
            ("en", "en"): "In English: {}.",
            ("en", "zh"): "In Chinese: {}.",
        }[sample.language, target].format((", " if to_english else "、").join(found))
    return {
        ("zh", "en"): "{}的英语是 {}。",
        ("zh", "zh"): "{}的中文是{}。",
        ("en", "en"): "In English, {} is {}.",
        ("en", "zh"): "In Chinese, {} is {}.",
    }[sample.language, target].format(words[0], found[0])


def test_answers_are_translations(samples: list[Sample]) -> None:
    assert [s.answer for s in samples] == [translated(s) for s in samples]
    assert all(SKILL.check(s.answer, translated(s)) for s in samples)


def test_half_ask_for_a_list_and_half_for_the_english(samples: list[Sample]) -> None:
    lengths = Counter(len(re.split("、|, ", s.operand)) for s in samples)
    assert set(lengths) == {1, *range(FEWEST, MOST + 1)}
    assert 0.45 < lengths[1] / len(samples) < 0.55
    assert 0.45 < sum(s.operand.isascii() for s in samples) / len(samples) < 0.55


def test_groups_are_parted_by_language_direction_and_length(samples: list[Sample]) -> None:
    groups = [set(group) for group in SKILL.groups()]
    assert len(groups) == 8
    assert all(len(group) >= 10 for group in groups)
    assert sum(map(len, groups)) == len(set().union(*groups)) == sum(map(len, SKILL.phrasings.values()))
    kinds = {(s.language, s.operand.isascii(), "、" in s.operand or "," in s.operand, s.phrasing) for s in samples}
    for group in groups:
        assert len({kind[:3] for kind in kinds if kind[3] in group}) == 1
