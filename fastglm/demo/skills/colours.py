"""Colours of things and of mixed paints."""

from collections.abc import Mapping
from itertools import permutations
from typing import ClassVar

from ..tables import read_table
from .base import PHRASINGS, Language
from .lookup import Fact, FactKind, FactSkill

COLOURS = {
    "red": "红",
    "orange": "橙",
    "yellow": "黄",
    "green": "绿",
    "blue": "蓝",
    "purple": "紫",
    "black": "黑",
    "white": "白",
    "grey": "灰",
    "brown": "棕",
    "pink": "粉",
}
MIXTURES = {
    ("red", "yellow"): "orange",
    ("blue", "yellow"): "green",
    ("blue", "red"): "purple",
    ("red", "white"): "pink",
    ("black", "white"): "grey",
    ("green", "red"): "brown",
}
THINGS = read_table("colours")

_MIXED = [(*paints, mixed) for pair, mixed in MIXTURES.items() for paints in permutations(pair)]


class Colours(FactSkill):
    """Gives the colour of a thing, or of two mixed paints."""

    name = "colours"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "颜色", "en": "Colours"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "香蕉是什么颜色？", "en": "What is the colour of a banana?"}
    weight = 1.5
    salt = "5"
    fact_kinds = (
        FactKind(
            "colour",
            0.8,
            {
                "zh": [Fact(en, (zh,), f"{zh}是{COLOURS[colour]}色的。") for zh, en, colour in THINGS],
                "en": [Fact(en, (en,), f"The colour of {en} is {colour}.") for _, en, colour in THINGS],
            },
            PHRASINGS["colours: colour"],
        ),
        FactKind(
            "mixture",
            0.2,
            {
                "zh": [
                    Fact(
                        " + ".join(sorted((one, two))),
                        (COLOURS[one], COLOURS[two]),
                        f"{COLOURS[one]}色和{COLOURS[two]}色混在一起是{COLOURS[mixed]}色。",
                    )
                    for one, two, mixed in _MIXED
                ],
                "en": [
                    Fact(" + ".join(sorted((one, two))), (one, two), f"Together, {one} and {two} make {mixed}.")
                    for one, two, mixed in _MIXED
                ],
            },
            PHRASINGS["colours: mixture"],
        ),
    )
