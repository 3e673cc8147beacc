"""Every skill: wordings that are used and learnt from one another, one answer a conversation, examples to try."""

import re
from collections.abc import Iterable

import drawing
import pytest

from fastglm.demo.skills import LANGUAGES, SKILLS, Sample, Skill

DRAWS = {"refusal": 30_000, "strange": 30_000, "memory": 30_000}  # many wordings
ASCII = str.maketrans("，！？", ",!?")
GROWS = {"poems", "stories"}  # a new answer each time


@pytest.fixture(scope="module", params=SKILLS, ids=lambda skill: skill.name)
def drawn(request: pytest.FixtureRequest) -> tuple[Skill, list[Sample]]:
    """A skill and samples of it."""
    return request.param, drawing.drawn(request.param, DRAWS.get(request.param.name, 6000))


def form(phrasing: str) -> re.Pattern[str]:
    """Any question of this wording, with or without its last mark."""
    return re.compile(re.sub(r"\\\{\w*\\\}", ".+", re.escape(phrasing.translate(ASCII).strip(" ?.!。"))), re.IGNORECASE)


def words(phrasings: Iterable[str]) -> set[str]:
    """English words, Chinese characters and slots of the wordings."""
    return {word for text in phrasings for word in re.findall(r"\{\w*\}|[a-z'-]+|[\u4e00-\u9fff]", text.lower())}


def trained(skill: Skill) -> set[str]:
    return {text for group in skill.groups() for text in group} - skill._held_out_phrasings


def test_every_wording_is_drawn_and_fills_the_question(drawn: tuple[Skill, list[Sample]]) -> None:
    skill, samples = drawn
    listed = getattr(skill, "phrasings", None)  # more than the groups where a skill borrows the wordings of others
    wordings = {text for texts in (listed.values() if listed else skill.groups()) for text in texts}
    used = {sample.phrasing for sample in samples}
    assert used >= wordings if skill.name == "refusal" else used == wordings  # it asks for sums too long as well
    for sample in samples:
        assert form(sample.phrasing).search(sample.question.translate(ASCII)), sample
        assert not re.search(r"\{\w*\}", sample.question), sample


def test_a_conversation_has_one_answer_in_its_language(drawn: tuple[Skill, list[Sample]]) -> None:
    skill, samples = drawn
    answers: dict[str, str] = {}
    for sample in samples:
        if skill.name not in GROWS:
            conversation = repr((sample.history, sample.question))
            assert answers.setdefault(conversation, sample.answer) == sample.answer
        assert sample.answer.endswith(("。", "！", "？") if sample.language == "zh" else (".", "!", "?"))


@pytest.mark.parametrize("skill", [s for s in SKILLS if s.name not in DRAWS], ids=lambda skill: skill.name)
def test_held_out_wordings_have_no_new_word(skill: Skill) -> None:
    polite = words(("你知道吗", "Do you know"))
    assert not words(skill._held_out_phrasings) - words(trained(skill)) - polite


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_is_trained_on(drawn: tuple[Skill, list[Sample]], language: str) -> None:
    """The example of a follow-up begins a conversation of another skill: see test_follow_up.py."""
    skill, samples = drawn
    if skill.name.startswith("follow_up"):
        return
    example = skill.examples[language].translate(ASCII).rstrip("?.!。")  # type: ignore[index]
    asked = [sample for sample in samples if form(sample.phrasing).fullmatch(example) and sample.language == language]
    assert any(skill.split(sample) is None for sample in asked)
