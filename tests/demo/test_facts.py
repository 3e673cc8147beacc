"""The skills that know facts: their answers follow from the tables in both languages."""

import re
from collections.abc import Sequence

import pytest
from drawing import drawn

from fastglm.demo.skills.base import LANGUAGES, Language, Skill
from fastglm.demo.skills.colours import MIXTURES, Colours
from fastglm.demo.skills.countries import Capitals
from fastglm.demo.skills.elements import Elements
from fastglm.demo.skills.lookup import FactSkill
from fastglm.demo.skills.opposites import Opposites
from fastglm.demo.skills.planets import NTH_ZH, PLANETS, Planets
from fastglm.demo.tables import read_table

CAPITALS, ELEMENTS, PLANETARY, PAINTS, OPPOSITES = Capitals(), Elements(), Planets(), Colours(), Opposites()
SKILLS: tuple[FactSkill, ...] = (CAPITALS, ELEMENTS, PLANETARY, PAINTS, OPPOSITES)


def answers(skill: Skill, kind: str, language: Language) -> dict[str, str]:
    """The answer to each operand of one kind of question."""
    return {
        sample.operand.removesuffix(f": {kind}"): sample.answer
        for sample in drawn(skill)
        if sample.language == language and sample.operand.endswith(f": {kind}")
    }


def test_a_table_has_no_comments_and_no_empty_lines() -> None:
    rows = read_table("planets")
    assert rows[2] == ("地球", "Earth", "rocky", "1", "12756")
    assert len(rows) == 8
    assert read_table("planets") is rows


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_both_languages_know_the_same_facts(skill: FactSkill) -> None:
    for kind in skill.fact_kinds:
        if kind.name != "opposite":
            assert [fact.name for fact in kind.facts["zh"]] == [fact.name for fact in kind.facts["en"]]


def test_the_answers_about_countries_and_elements() -> None:
    assert answers(CAPITALS, "capital", "zh")["France"] == "法国的首都是巴黎。"
    assert answers(CAPITALS, "capital", "en")["the Netherlands"] == "The capital of the Netherlands is Amsterdam."
    assert answers(CAPITALS, "country", "en")["the Netherlands"] == "Amsterdam is the capital of the Netherlands."
    assert answers(CAPITALS, "country", "zh")["Japan"] == "东京是日本的首都。"
    assert answers(CAPITALS, "continent", "en")["the Netherlands"] == "The Netherlands is in Europe."
    assert answers(CAPITALS, "continent", "zh")["Peru"] == "秘鲁在南美洲。"
    assert answers(ELEMENTS, "symbol", "zh")["gold"] == "金的元素符号是Au。"
    assert answers(ELEMENTS, "element", "en")["gold"] == "Au is the symbol of gold."
    assert answers(ELEMENTS, "atomic number", "en")["gold"] == "The atomic number of gold is 79."
    assert all(len(answers(ELEMENTS, kind.name, "zh")) == 46 for kind in ELEMENTS.fact_kinds)


def test_planets_are_in_the_order_of_the_table() -> None:
    for kind, step in (("next outward", 1), ("next inward", -1)):
        for language, column in (("zh", 0), ("en", 1)):
            names = [planet[column] for planet in PLANETS]
            for answer in answers(PLANETARY, kind, language).values():  # type: ignore[arg-type]
                first, second = sorted((name for name in names if name in answer), key=answer.find)
                assert names.index(second) - names.index(first) == step
    positions = answers(PLANETARY, "position", "zh")
    assert [positions[planet.en] for planet in PLANETS] == [
        f"{planet.zh}是离太阳第{nth}近的行星。" for planet, nth in zip(PLANETS, NTH_ZH, strict=True)
    ]
    assert answers(PLANETARY, "planet", "en")["fourth planet"] == "The fourth planet from the sun is Mars."
    assert answers(PLANETARY, "planet", "zh")["eighth planet"] == "离太阳第八近的行星是海王星。"


def test_the_larger_planet_is_larger() -> None:
    diameters = {name: planet.diameter for planet in PLANETS for name in (planet.en, planet.zh)}
    told = answers(PLANETARY, "larger", "en"), answers(PLANETARY, "larger", "zh")
    for answer in (*told[0].values(), *told[1].values()):
        larger, smaller = re.fullmatch(r"(\w+)(?: is larger than |比)(\w+?)(?:大。|\.)", answer).groups()  # type: ignore[union-attr]
        assert diameters[larger] > diameters[smaller]
    assert len(told[0]) == len(told[1]) == 28


def test_moons_rings_and_kinds_of_the_planets() -> None:
    moons, rings = answers(PLANETARY, "moons", "en"), answers(PLANETARY, "rings", "en")
    kinds = answers(PLANETARY, "kind", "en")
    giants = {"Jupiter", "Saturn", "Uranus", "Neptune"}
    assert {name for name, answer in moons.items() if "many" in answer} == giants
    assert {name for name, answer in moons.items() if "has no moons" in answer} == {"Mercury", "Venus"}
    assert {name for name, answer in rings.items() if "no" not in answer} == giants
    assert {name for name, answer in kinds.items() if answer.endswith("giant.")} == giants
    assert (moons["Mars"], kinds["Uranus"]) == ("Mars has two moons.", "Uranus is an ice giant.")
    assert answers(PLANETARY, "rings", "zh")["Mars"] == "火星没有光环。"
    assert answers(PLANETARY, "moons", "zh")["Earth"] == "地球有一颗卫星。"


def test_a_thing_has_its_colour() -> None:
    assert answers(PAINTS, "colour", "zh")["the sky"] == "天空是蓝色的。"
    assert answers(PAINTS, "colour", "en")["the sky"] == "The colour of the sky is blue."


def test_paints_are_named_in_the_order_asked() -> None:
    """The mixture is the same in either order."""
    for sample in drawn(PAINTS):
        if sample.language == "en" and sample.operand.endswith(": mixture"):
            one, two, mixed = re.findall(r"Together, (\w+) and (\w+) make (\w+)", sample.answer)[0]
            assert re.search(rf"\b{one}\b.*\b{two}\b", sample.question)
            assert mixed == (MIXTURES.get((one, two)) or MIXTURES[two, one])


@pytest.mark.parametrize("language", LANGUAGES)
def test_opposites_go_both_ways(language: Language) -> None:
    """Each of two opposites has the other and no third word."""
    pairs: Sequence[tuple[str, ...]] = read_table(f"opposites_{language}")
    listed = [word for pair in pairs for word in pair]
    assert len(listed) == len(set(listed)) >= 200
    both_ways = {word: other for one, two in pairs for word, other in ((one, two), (two, one))}
    frame = "“{}”的反义词是“{}”。" if language == "zh" else "The opposite of {} is {}."
    told = answers(OPPOSITES, "opposite", language)
    assert told == {word: frame.format(word, other) for word, other in both_ways.items()}
