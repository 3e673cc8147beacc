"""The planets: order, sizes, kinds, moons and rings."""

from collections.abc import Mapping
from itertools import pairwise, permutations
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import Language
from .lookup import Fact, FactKind, FactSkill


class Planet(NamedTuple):
    """A planet of the solar system."""

    zh: str
    en: str
    kind: str
    moons: str
    diameter: int  # in km


PLANETS: tuple[Planet, ...] = tuple(
    Planet(zh, en, kind, moons, int(diameter)) for zh, en, kind, moons, diameter in read_table("planets")
)
NTH_ZH = "一二三四五六七八"
NTH_EN = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
KINDS_ZH = {"rocky": "岩石行星", "gas": "气态巨行星", "ice": "冰质巨行星"}
KINDS_EN = {"rocky": "a rocky planet", "gas": "a gas giant", "ice": "an ice giant"}
MOONS_ZH = {"0": "没有卫星", "1": "有一颗卫星", "2": "有两颗卫星", "+": "有很多颗卫星"}
MOONS_EN = {"0": "no moons", "1": "one moon", "2": "two moons", "+": "many moons"}
RECORDS = (
    ("最大", "the largest", "木星", "Jupiter"),
    ("最小", "the smallest", "水星", "Mercury"),
    ("最热", "the hottest", "金星", "Venus"),
    ("离太阳最近", "the nearest to the sun", "水星", "Mercury"),
    ("离太阳最远", "the farthest from the sun", "海王星", "Neptune"),
)

_LARGER = [(one, two, max(one, two, key=lambda p: p.diameter)) for one, two in permutations(PLANETS, 2)]
_SMALLER = [two if larger is one else one for one, two, larger in _LARGER]


def _neighbours(name: str, step: int, zh: tuple[str, str, str], en: str) -> FactKind:
    """The questions for the next planet on one side; the last planet of the row is not asked about."""
    pairs = list(pairwise(PLANETS))
    if step < 0:
        pairs = [(outer, inner) for inner, outer in pairs]
    beside, behind, next_one = zh
    return FactKind(
        name,
        0.08,
        {
            "zh": [Fact(one.en, (one.zh,), f"{one.zh}{beside}的行星是{other.zh}。") for one, other in pairs],
            "en": [Fact(one.en, (one.en,), f"The planet {en} {one.en} is {other.en}.") for one, other in pairs],
        },
        {
            "zh": (
                f"{{}}的{next_one}行星是哪颗？",
                f"{{}}的{next_one}行星叫什么？",
                f"{{}}{beside}的行星是哪颗？",
                f"{{}}{beside}的行星叫什么？",
                f"{{}}的{beside}是哪颗行星？",
                f"{{}}{behind}的行星是哪颗？",
                f"{{}}{behind}的行星叫什么？",
                f"{{}}的{behind}是哪颗行星？",
                f"从太阳数起，{{}}的{next_one}行星是哪颗？",
                f"从太阳数起，{{}}{behind}是哪颗行星？",
                f"你知道{{}}的{next_one}行星是哪颗吗？",
                f"你知道{{}}{beside}的行星是哪颗吗？",
            ),
            "en": (
                f"Which planet comes {en} {{}}?",
                f"What planet comes {en} {{}}?",
                f"Which planet is {en} {{}}?",
                f"What planet is {en} {{}}?",
                f"Which is the planet {en} {{}}?",
                f"What is the planet {en} {{}}?",
                f"Which planet comes just {en} {{}}?",
                f"Which planet is just {en} {{}}?",
                f"What planet comes just {en} {{}}?",
                f"What planet is just {en} {{}}?",
                f"Do you know which planet comes {en} {{}}?",
                f"Do you know the planet {en} {{}}?",
            ),
        },
    )


class Planets(FactSkill):
    """Knows the planets of the solar system."""

    name = "planets"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "行星", "en": "Planets"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "离太阳第四近的是哪颗行星？",
        "en": "Which is the fourth planet from the sun?",
    }
    weight = 1.0
    fact_kinds = (
        FactKind(
            "position",
            0.12,
            {
                "zh": [
                    Fact(p.en, (p.zh,), f"{p.zh}是离太阳第{nth}近的行星。")
                    for p, nth in zip(PLANETS, NTH_ZH, strict=True)
                ],
                "en": [
                    Fact(p.en, (p.en,), f"{p.en} is the {nth} planet from the sun.")
                    for p, nth in zip(PLANETS, NTH_EN, strict=True)
                ],
            },
            {
                "zh": (
                    "{}是离太阳第几近的行星？",
                    "{}离太阳第几近？",
                    "{}在行星里排第几？",
                    "{}在太阳系里排第几？",
                    "{}在太阳系的行星里排第几？",
                    "{}是太阳系的第几颗行星？",
                    "{}是太阳系里离太阳第几近的行星？",
                    "从太阳数起，{}排第几？",
                    "从太阳数起，{}是第几颗？",
                    "从太阳数起，{}是第几颗行星？",
                    "你知道{}离太阳第几近吗？",
                    "你知道{}是太阳系的第几颗行星吗？",
                ),
                "en": (
                    "Which planet from the sun is {}?",
                    "What number from the sun is {}?",
                    "What number planet from the sun is {}?",
                    "Which number planet from the sun is {}?",
                    "What number planet is {} in the solar system?",
                    "What position from the sun does {} have?",
                    "Which position from the sun does {} have?",
                    "What position does {} have in the solar system?",
                    "What is the position of {} from the sun?",
                    "What is the position of {} in the solar system?",
                    "Do you know the position of {} from the sun?",
                    "Do you know what number planet from the sun {} is?",
                ),
            },
        ),
        FactKind(
            "planet",
            0.12,
            {
                "zh": [
                    Fact(f"{en} planet", (zh,), f"离太阳第{zh}近的行星是{p.zh}。")
                    for p, zh, en in zip(PLANETS, NTH_ZH, NTH_EN, strict=True)
                ],
                "en": [
                    Fact(f"{en} planet", (en,), f"The {en} planet from the sun is {p.en}.")
                    for p, en in zip(PLANETS, NTH_EN, strict=True)
                ],
            },
            {
                "zh": (
                    "离太阳第{}近的行星是哪颗？",
                    "离太阳第{}近的行星叫什么？",
                    "离太阳第{}近的是哪颗行星？",
                    "哪颗行星离太阳第{}近？",
                    "从太阳数起，第{}颗行星是哪颗？",
                    "从太阳数起，第{}颗行星叫什么？",
                    "从太阳数起，第{}颗是哪颗行星？",
                    "太阳系的第{}颗行星是哪颗？",
                    "太阳系的第{}颗行星叫什么？",
                    "哪颗行星是太阳系的第{}颗行星？",
                    "你知道离太阳第{}近的行星是哪颗吗？",
                    "你知道太阳系的第{}颗行星叫什么吗？",
                ),
                "en": (
                    "Which is the {} planet from the sun?",
                    "What is the {} planet from the sun?",
                    "Which planet is {} from the sun?",
                    "What planet is {} from the sun?",
                    "Which planet is the {} from the sun?",
                    "Which is the {} planet in the solar system?",
                    "What is the {} planet in the solar system?",
                    "Which planet is the {} in the solar system?",
                    "The {} planet from the sun is which planet?",
                    "Do you know the {} planet from the sun?",
                    "Do you know which planet is {} from the sun?",
                    "Do you know which is the {} planet in the solar system?",
                ),
            },
        ),
        _neighbours("next outward", 1, ("外面", "后面", "下一颗"), "after"),
        _neighbours("next inward", -1, ("里面", "前面", "上一颗"), "before"),
        FactKind(
            "larger",
            0.24,
            {
                "zh": [
                    Fact(" and ".join(sorted((one.en, two.en))), (one.zh, two.zh), f"{larger.zh}比{smaller.zh}大。")
                    for (one, two, larger), smaller in zip(_LARGER, _SMALLER, strict=True)
                ],
                "en": [
                    Fact(
                        " and ".join(sorted((one.en, two.en))),
                        (one.en, two.en),
                        f"{larger.en} is larger than {smaller.en}.",
                    )
                    for (one, two, larger), smaller in zip(_LARGER, _SMALLER, strict=True)
                ],
            },
            {
                "zh": (
                    "{}和{}哪个大？",
                    "{}和{}哪个更大？",
                    "{}和{}哪颗大？",
                    "{}和{}哪颗行星大？",
                    "{}和{}哪颗行星更大？",
                    "{}大还是{}大？",
                    "{}更大还是{}更大？",
                    "哪个大，{}还是{}？",
                    "哪个更大，{}还是{}？",
                    "哪颗行星更大，{}还是{}？",
                    "你知道{}和{}哪个大吗？",
                    "你知道{}和{}哪颗行星更大吗？",
                ),
                "en": (
                    "Which is larger, {} or {}?",
                    "Which is bigger, {} or {}?",
                    "Which planet is larger, {} or {}?",
                    "Which planet is bigger, {} or {}?",
                    "Which of the planets {} and {} is larger?",
                    "Which is the larger planet, {} or {}?",
                    "Which is the bigger planet, {} or {}?",
                    "Which of {} and {} is larger?",
                    "Which of {} and {} is bigger?",
                    "Which planet is the larger of {} and {}?",
                    "Do you know which is larger, {} or {}?",
                    "Do you know which planet is bigger, {} or {}?",
                ),
            },
        ),
        FactKind(
            "record",
            0.1,
            {
                "zh": [Fact(en, (zh,), f"{zh}的行星是{planet}。") for zh, en, planet, _ in RECORDS],
                "en": [Fact(en, (en,), f"Of all the planets, {planet} is {en}.") for _, en, _, planet in RECORDS],
            },
            {
                "zh": (
                    "{}的行星是哪颗？",
                    "{}的行星叫什么？",
                    "{}的是哪颗行星？",
                    "哪颗行星{}？",
                    "哪颗行星是{}的？",
                    "太阳系里{}的行星是哪颗？",
                    "太阳系里{}的行星叫什么？",
                    "太阳系里哪颗行星{}？",
                    "太阳系的行星里哪颗{}？",
                    "太阳系的行星里{}的是哪颗？",
                    "你知道{}的行星是哪颗吗？",
                    "你知道哪颗行星{}吗？",
                ),
                "en": (
                    "Which planet is {}?",
                    "What planet is {}?",
                    "Which of the planets is {}?",
                    "Which of all the planets is {}?",
                    "Which planet in the solar system is {}?",
                    "What planet in the solar system is {}?",
                    "Which of the planets in the solar system is {}?",
                    "Of all the planets, which is {}?",
                    "Of all the planets, which planet is {}?",
                    "In the solar system, which planet is {}?",
                    "Do you know which planet is {}?",
                    "Do you know which of the planets is {}?",
                ),
            },
        ),
        FactKind(
            "kind",
            0.1,
            {
                "zh": [Fact(p.en, (p.zh,), f"{p.zh}是{KINDS_ZH[p.kind]}。") for p in PLANETS],
                "en": [Fact(p.en, (p.en,), f"{p.en} is {KINDS_EN[p.kind]}.") for p in PLANETS],
            },
            {
                "zh": (
                    "{}是哪种行星？",
                    "{}是哪类行星？",
                    "{}是什么类型的行星？",
                    "{}属于哪种行星？",
                    "{}属于哪类行星？",
                    "{}属于什么类型的行星？",
                    "{}是岩石行星还是气态行星？",
                    "{}是气态行星还是岩石行星？",
                    "{}属于岩石行星还是气态行星？",
                    "你知道{}是哪种行星吗？",
                    "你知道{}是什么类型的行星吗？",
                    "你知道{}属于哪种行星吗？",
                ),
                "en": (
                    "What kind of planet is {}?",
                    "Which kind of planet is {}?",
                    "What type of planet is {}?",
                    "Which type of planet is {}?",
                    "Is {} a rocky planet or a gas giant?",
                    "Is {} a gas giant or a rocky planet?",
                    "Is the planet {} a rocky planet or a gas giant?",
                    "What kind of planet is {}, a rocky planet or a gas giant?",
                    "Which type of planet is {}, a rocky planet or a gas giant?",
                    "Do you know what kind of planet {} is?",
                    "Do you know which kind of planet {} is?",
                    "Do you know what type of planet {} is?",
                ),
            },
        ),
        FactKind(
            "moons",
            0.12,
            {
                "zh": [Fact(p.en, (p.zh,), f"{p.zh}{MOONS_ZH[p.moons]}。") for p in PLANETS],
                "en": [Fact(p.en, (p.en,), f"{p.en} has {MOONS_EN[p.moons]}.") for p in PLANETS],
            },
            {
                "zh": (
                    "{}有几颗卫星？",
                    "{}有多少颗卫星？",
                    "{}有多少卫星？",
                    "{}的卫星有几颗？",
                    "{}的卫星有多少颗？",
                    "{}周围有几颗卫星？",
                    "{}周围有多少颗卫星？",
                    "{}有卫星吗？",
                    "{}有没有卫星？",
                    "你知道{}有没有卫星吗？",
                    "你知道{}有几颗卫星吗？",
                    "你知道{}有多少颗卫星吗？",
                ),
                "en": (
                    "How many moons does {} have?",
                    "How many moons does the planet {} have?",
                    "How many moons are there around {}?",
                    "How many moons are around {}?",
                    "Are there any moons around {}?",
                    "What is the number of moons of {}?",
                    "Does {} have moons?",
                    "Does {} have any moons?",
                    "Are there moons around {}?",
                    "Do you know how many moons there are around {}?",
                    "Do you know how many moons are around {}?",
                    "Do you know the number of moons of {}?",
                ),
            },
        ),
        FactKind(
            "rings",
            0.1,
            {
                "zh": [Fact(p.en, (p.zh,), f"{p.zh}{'没有' if p.kind == 'rocky' else '有'}光环。") for p in PLANETS],
                "en": [
                    Fact(p.en, (p.en,), f"{p.en} has {'no rings' if p.kind == 'rocky' else 'rings'}.") for p in PLANETS
                ],
            },
            {
                "zh": (
                    "{}有光环吗？",
                    "{}有没有光环？",
                    "{}周围有光环吗？",
                    "{}周围有没有光环？",
                    "{}周围是不是有光环？",
                    "{}的周围有没有光环？",
                    "{}是不是有光环？",
                    "{}是不是有光环的行星？",
                    "{}是有光环的行星吗？",
                    "你知道{}有光环吗？",
                    "你知道{}有没有光环吗？",
                    "你知道{}周围有没有光环吗？",
                ),
                "en": (
                    "Does {} have rings?",
                    "Does {} have any rings?",
                    "Does {} have rings around it?",
                    "Does the planet {} have rings?",
                    "Does the planet {} have any rings?",
                    "Does the planet {} have rings around it?",
                    "Are there rings around {}?",
                    "Are there any rings around {}?",
                    "Are there rings around the planet {}?",
                    "Is {} a planet with any rings?",
                    "Is {} a planet with rings?",
                    "Is {} a planet with rings around it?",
                ),
            },
        ),
    )
