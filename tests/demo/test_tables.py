"""The skills that recite a table: every line is asked for, and answered as it stands there."""

import re
from collections.abc import Mapping

import pytest
from drawing import drawn

from fastglm.demo.skills.advice import Advice
from fastglm.demo.skills.base import LANGUAGES, Skill
from fastglm.demo.skills.idioms import Idioms
from fastglm.demo.skills.terms import Terms
from fastglm.demo.skills.translation import Translation
from fastglm.demo.tables import read_table


def told(skill: Skill) -> Mapping[tuple[str, str], str]:
    return {(sample.language, sample.operand): sample.answer for sample in drawn(skill)}


def test_advice_is_that_of_its_topic() -> None:
    assert told(Advice()) == {
        (language, row[0]): row[-1] for language in LANGUAGES for row in read_table(f"advice_{language}")
    }


def test_a_wish_for_advice_names_its_topic() -> None:
    rows = {(language, row[0]): row for language in LANGUAGES for row in read_table(f"advice_{language}")}
    for sample in drawn(Advice()):
        _, *situations, wish, _ = rows[sample.language, sample.operand]
        asked = {sample.phrasing.format(situation, wish=wish).lower().rstrip("？?") for situation in situations}
        assert any(sample.question.lower().rstrip("？?").endswith(question) for question in asked), sample


def test_an_english_question_is_capitalized_as_a_sentence() -> None:
    questions = {sample.question for sample in drawn(Advice()) if sample.language == "en"}
    assert any(question.startswith("My head hurts") for question in questions)
    assert not any(re.search(r"\bi\b", question) for question in questions)


def test_an_idiom_is_told_in_its_own_language() -> None:
    chinese = {("zh", idiom): f"{idiom}的意思是{meaning}。" for idiom, meaning in read_table("idioms_zh")}
    assert told(Idioms()) == chinese | {
        ("en", idiom): f"It means {meaning}." for idiom, meaning in read_table("idioms_en")
    }


def test_a_term_is_told_in_both_languages() -> None:
    meanings = [((("zh", row[0]), row[1]), (("en", row[0]), row[3])) for row in read_table("terms")]
    assert told(Terms()) == dict(pair for both in meanings for pair in both)


@pytest.mark.parametrize("skill", [Terms(), Translation()], ids=lambda skill: skill.name)
def test_words_in_latin_letters_are_tokens_of_their_own(skill: Skill) -> None:
    """A word is a token with the space before it: one that follows a character or a quotation mark is spelled."""
    assert not [
        s for s in drawn(skill) if re.search(r"[^\x00-\x7f\s][A-Za-z]|[\"'][A-Za-z]", f"{s.question}\n{s.answer}")
    ]
