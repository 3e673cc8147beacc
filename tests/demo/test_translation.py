"""Translation: one translation of each word in each direction, and answers from the table."""

import re
from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from babel import Locale
from babel.dates import format_timedelta

from fastglm.demo.skills.base import LANGUAGES, Language, Sample
from fastglm.demo.skills.translation import FEWEST, MOST, Translation

SKILL = Translation()
ENGLISH = dict(SKILL.words)
CHINESE = {en: zh for zh, en in SKILL.words}
LOCALES = {language: Locale(language) for language in LANGUAGES}
CALENDAR = {
    getattr(LOCALES["zh"], names)["format"]["wide"][key]: name
    for names in ("days", "months")
    for key, name in getattr(LOCALES["en"], names)["format"]["wide"].items()
}
UNITS = {"year": 365 * 24 * 60, "month": 30 * 24 * 60, "week": 7 * 24 * 60, "day": 24 * 60, "hour": 60, "minute": 1}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty"}
COLOURS = {"red", "yellow", "green", "blue", "purple", "black", "white", "grey", "brown", "pink"}


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rng = Random(0)
    return [SKILL.sample(rng) for _ in range(6000)]


def test_a_word_has_one_translation_each_way() -> None:
    assert 600 <= len(SKILL.words) == len(ENGLISH) == len(CHINESE) <= 650


def test_a_word_is_one_plain_word() -> None:
    assert not [zh for zh in ENGLISH if not re.fullmatch(r"[\u4e00-\u9fff]{1,4}", zh)]
    assert {en for en in CHINESE if not re.fullmatch(r"[a-z]+", en)} == set(CALENDAR.values())


def test_days_and_months_are_those_of_cldr() -> None:
    assert len(CALENDAR) == 19
    assert {zh: ENGLISH.get(zh) for zh in CALENDAR} == CALENDAR


@pytest.mark.parametrize("unit", UNITS)
def test_units_of_time_are_those_of_cldr(unit: str) -> None:
    span = timedelta(minutes=UNITS[unit])
    assert format_timedelta(span, threshold=1, locale="en") == f"1 {unit}"
    zh = re.sub("[1个]", "", format_timedelta(span, threshold=1, locale="zh"))
    assert CHINESE[unit].replace("星期", "周") == zh


def test_numbers_are_spelled_right() -> None:
    digits = "零一二三四五六七八九"
    for value, en in (dict(enumerate(NUMBERS)) | TENS).items():
        tens, ones = divmod(value, 10)
        zh = digits[value] if value < 10 else f"{digits[tens] if tens > 1 else ''}十{digits[ones] if ones else ''}"
        assert ENGLISH[zh] == en


def test_colours_end_in_the_word_for_colour() -> None:
    assert {en for zh, en in SKILL.words if re.fullmatch("[^颜]色", zh)} == COLOURS


def translated(sample: Sample) -> str:
    """The answer, derived from the operand alone."""
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


def test_a_question_has_one_answer(samples: list[Sample]) -> None:
    answers: dict[str, str] = {}
    for sample in samples:
        assert answers.setdefault(sample.question, sample.answer) == sample.answer


def test_half_ask_for_a_list_and_half_for_the_english(samples: list[Sample]) -> None:
    lengths = Counter(len(re.split("、|, ", s.operand)) for s in samples)
    assert set(lengths) == {1, *range(FEWEST, MOST + 1)}
    assert 0.45 < lengths[1] / len(samples) < 0.55
    assert 0.45 < sum(s.operand.isascii() for s in samples) / len(samples) < 0.55


def test_all_words_and_phrasings_are_drawn(samples: list[Sample]) -> None:
    assert {w for s in samples for w in re.split("、|, ", s.operand)} == {*ENGLISH, *CHINESE}
    assert {s.phrasing for s in samples} == {p for phrasings in SKILL.phrasings.values() for p in phrasings}


def test_groups_are_parted_by_language_direction_and_length(samples: list[Sample]) -> None:
    groups = [set(group) for group in SKILL.groups()]
    assert len(groups) == 8
    assert all(len(group) >= 10 for group in groups)
    assert sum(map(len, groups)) == len(set().union(*groups)) == sum(map(len, SKILL.phrasings.values()))
    kinds = {(s.language, s.operand.isascii(), "、" in s.operand or "," in s.operand, s.phrasing) for s in samples}
    for group in groups:
        assert len({kind[:3] for kind in kinds if kind[3] in group}) == 1


def test_a_question_holds_its_operand_and_phrasing(samples: list[Sample]) -> None:
    for sample in samples:
        asked = sample.phrasing.format(sample.operand).strip().rstrip("？?。.").lower()
        assert asked in sample.question.lower().rstrip("？?。.")


def test_english_words_are_tokens_of_their_own(samples: list[Sample]) -> None:
    """A word is one token with the space before it; after a character or a quotation mark it is spelled."""
    for sample in samples:
        assert not re.search(r"[^\x00-\x7f\s][A-Za-z]|[\"'][A-Za-z]", sample.question + "\n" + sample.answer)


def test_held_out_words_are_known_from_trained_phrasings() -> None:
    for group in SKILL.groups():
        held_out = SKILL._held_out_phrasings & set(group)
        assert len(held_out) >= 2
        known = Counter(word for p in set(group) - held_out for word in parts(p))
        assert not {(p, word) for p in held_out for word in parts(p) if known[word] < 2}


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_used_in_several_phrasings(language: Language) -> None:
    assert min(Counter(word for p in SKILL.phrasings[language] for word in parts(p)).values()) >= 3


def parts(phrasing: str) -> set[str]:
    """The words or characters of a template."""
    return set(re.findall(r"[a-z]+|[\u4e00-\u9fff]", phrasing.lower()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_are_trained(language: Language, samples: list[Sample]) -> None:
    question = SKILL.examples[language]
    [(phrasing, operand)] = [
        (phrasing, found[1])
        for phrasing in SKILL.phrasings[language]
        if (found := re.fullmatch(re.escape(phrasing).replace(r"\{\}", r"([\w、]+)"), question))
        and all(word in ENGLISH or word in CHINESE for word in found[1].split("、"))
    ]
    assert SKILL.split(Sample([], question, "", language, phrasing, operand)) is None
