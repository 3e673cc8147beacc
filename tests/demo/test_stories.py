"""Stories: the requested protagonist, the right length, varied and without repetition."""

import re
from collections.abc import Sequence
from random import Random

import pytest
from drawing import drawn

from fastglm.demo.evaluation.texts import distinct, repeated_sentences
from fastglm.demo.grammar import Grammar, english
from fastglm.demo.skills.base import LANGUAGES, Language, Sample
from fastglm.demo.skills.stories import ANYONE, Stories

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return drawn(Stories(), seed=1)


def of(samples: Sequence[Sample], language: Language) -> list[Sample]:
    return [sample for sample in samples if sample.language == language]


def sentences(story: str) -> list[str]:
    return [part for part in re.split(r"[.!?。！？]\s*", story) if part]


def test_a_story_has_four_to_six_sentences_of_a_handy_length(samples: list[Sample]) -> None:
    for sample in samples:
        assert 4 <= len(sentences(sample.answer)) <= 6, sample.answer
        if sample.language == "zh":
            assert 90 <= len(CHINESE.findall(sample.answer)) <= 160
        else:
            assert 55 <= len(re.findall(r"[A-Za-z']+", sample.answer)) <= 90


def test_the_question_names_the_protagonist(samples: list[Sample]) -> None:
    """The first two sentences name the requested protagonist."""
    chinese = {row["en"]: row["zh"] for row in Stories().grammars["zh"].rows("animal")}
    for sample in samples:
        if sample.operand == ANYONE:
            assert "{}" not in sample.phrasing
            continue
        word = chinese[sample.operand] if sample.language == "zh" else sample.operand
        assert re.search(rf"\b{word}\b" if sample.language == "en" else word, sample.question)
        assert word in "".join(sentences(sample.answer)[:2]).lower(), sample.answer


def test_both_languages_tell_of_the_same_protagonists() -> None:
    chinese, english_rows = (Stories().grammars[language].rows("animal") for language in LANGUAGES)
    assert [row["en"] for row in chinese] == [row["en"] for row in english_rows]
    assert len({row["zh"] for row in chinese}) == len(chinese) >= 24


def test_protagonist_and_companion_keep_their_names(samples: list[Sample]) -> None:
    """A story has at most two names, and one of them comes back."""
    for language in LANGUAGES:
        names = [next(iter(row.values())) for row in Stories().grammars[language].rows("name")]
        for sample in of(samples, language):
            told = re.findall("|".join(names), sample.answer)
            assert len(set(told)) <= 2, sample.answer
            assert len(told) > len(set(told)), sample.answer


@pytest.mark.parametrize("language", LANGUAGES)
def test_stories_are_varied(samples: list[Sample], language: Language) -> None:
    """Distinct-4 over 200 stories, in characters or words: a model trained on them has to reach 0.6."""
    assert distinct([sample.answer for sample in of(samples, language)[:200]], 4) >= 0.75


def test_no_sentence_comes_twice_in_a_story(samples: list[Sample]) -> None:
    assert not [sample.answer for sample in samples if repeated_sentences(sample.answer)]


def test_no_two_stories_are_the_same() -> None:
    rng, skill = Random(2), Stories()
    assert len({skill.sample(rng).answer for _ in range(20_000)}) == 20_000


def test_english_is_spelled_as_sentences(samples: list[Sample]) -> None:
    for sample in of(samples, "en"):
        assert all(part[0].isupper() or part[0].isdigit() for part in sentences(sample.answer)), sample.answer
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|  | [.,]|[{}|/#]", sample.answer), sample.answer


def test_chinese_has_no_stray_signs(samples: list[Sample]) -> None:
    for sample in of(samples, "zh"):
        assert re.fullmatch(r"[\u4e00-\u9fff，。！：]+[。！]", sample.answer), sample.answer
        assert not re.search(r"的的|地地|，，|小小小", sample.answer), sample.answer


def test_the_same_state_gives_the_same_story() -> None:
    assert [Stories().sample(Random(5)) for _ in range(2)] == [Stories().sample(Random(5))] * 2


def test_a_grammar_keeps_what_is_tagged_and_does_not_repeat_what_is_not() -> None:
    grammar = Grammar(
        "# colours\n[start]\n{c#x} {c} {c} {c#x.b} {c#y.b}\n[c a b]\n1 | one / 2 | two\n3 | three / 4 | four"
    )
    for seed in range(20):
        kept, *fresh, word, other = grammar.expand(Random(seed), "start").split()
        assert dict(zip("1234", ("one", "two", "three", "four"), strict=True))[kept] == word
        assert len({kept, *fresh}) == 3
        assert other != word


def test_a_grammar_takes_what_was_chosen_before() -> None:
    grammar = Grammar("[start]\n{c#x}{c}\n[c]\n1 / 2")
    assert grammar.expand(Random(0), "start", {"c#x": grammar.rows("c")[1]}) == "21"


@pytest.mark.parametrize("pattern", ["{no}", "{c.no}"])
def test_a_grammar_names_a_slot_that_leads_nowhere(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(pattern)):
        Grammar(f"[start]\n{pattern}\n[c]\n1")


def test_english_capitals_and_articles() -> None:
    assert english("a owl saw a box.\nit ran! a ant, too") == "An owl saw a box.\nIt ran! An ant, too"
