"""The planets: order, sizes, kinds, moons and rings."""

from collections.abc import Mapping
from itertools import pairwise, permutations
from typing import ClassVar, NamedTuple

from ..tables import read_table
from .base import PHRASINGS, Language
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
            PHRASINGS["planets: position"],
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
            PHRASINGS["planets: planet"],
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
            PHRASINGS["planets: larger"],
        ),
        FactKind(
            "record",
            0.1,
            {
                "zh": [Fact(en, (zh,), f"{zh}的行星是{planet}。") for zh, en, planet, _ in RECORDS],
                "en": [Fact(en, (en,), f"Of all the planets, {planet} is {en}.") for _, en, _, planet in RECORDS],
            },
            PHRASINGS["planets: record"],
        ),
        FactKind(
            "kind",
            0.1,
            {
                "zh": [Fact(p.en, (p.zh,), f"{p.zh}是{KINDS_ZH[p.kind]}。") for p in PLANETS],
                "en": [Fact(p.en, (p.en,), f"{p.en} is {KINDS_EN[p.kind]}.") for p in PLANETS],
            },
            PHRASINGS["planets: kind"],
        ),
        FactKind(
            "moons",
            0.12,
            {
                "zh": [Fact(p.en, (p.zh,), f"{p.zh}{MOONS_ZH[p.moons]}。") for p in PLANETS],
                "en": [Fact(p.en, (p.en,), f"{p.en} has {MOONS_EN[p.moons]}.") for p in PLANETS],
            },
            PHRASINGS["planets: moons"],
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
            PHRASINGS["planets: rings"],
        ),
    )
