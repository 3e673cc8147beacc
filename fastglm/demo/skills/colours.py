"""Colours of things and of mixed paints."""

from collections.abc import Mapping
from itertools import permutations
from typing import ClassVar

from ..tables import read_table
from .base import Language
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
            {
                "zh": (
                    "{}是什么颜色的？",
                    "{}是什么颜色？",
                    "{}是哪种颜色的？",
                    "{}是哪种颜色？",
                    "{}的颜色是什么？",
                    "{}的颜色是哪种？",
                    "{}一般是什么颜色的？",
                    "{}一般是什么颜色？",
                    "{}一般是哪种颜色？",
                    "{}的颜色一般是什么？",
                    "你知道{}是什么颜色的吗？",
                    "你知道{}的颜色是什么吗？",
                    "你知道{}一般是什么颜色吗？",
                ),
                "en": (
                    "What colour is {}?",
                    "Which colour is {}?",
                    "What is the colour of {}?",
                    "What color is {}?",
                    "What colour does {} have?",
                    "Which colour does {} have?",
                    "Which color is {}?",
                    "What colour is {} usually?",
                    "Which colour is {} usually?",
                    "What colour does {} usually have?",
                    "What is the color of {}?",
                    "Do you know the colour of {}?",
                    "Do you know what colour {} is?",
                    "Do you know which colour {} is?",
                ),
            },
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
            {
                "zh": (
                    "{}色和{}色混在一起是什么颜色？",
                    "{}色和{}色混在一起变成什么颜色？",
                    "{}色和{}色混在一起是哪种颜色？",
                    "{}色和{}色混合是什么颜色？",
                    "{}色和{}色混合变成什么颜色？",
                    "{}色加{}色是什么颜色？",
                    "{}色加{}色变成什么颜色？",
                    "{}色加{}色是哪种颜色？",
                    "{}色和{}色的颜料混合变成哪种颜色？",
                    "{}色颜料加{}色颜料是什么颜色？",
                    "{}色颜料和{}色颜料混在一起变成什么颜色？",
                    "你知道{}色和{}色混合是什么颜色吗？",
                    "你知道{}色加{}色是什么颜色吗？",
                ),
                "en": (
                    "What colour do {} and {} make?",
                    "Which colour do {} and {} make?",
                    "What do {} and {} paint make?",
                    "What colour do {} and {} paint make?",
                    "What colour do {} and {} make together?",
                    "Which colour do {} and {} paint make together?",
                    "What colour is {} mixed with {}?",
                    "Which colour is {} mixed with {}?",
                    "What colour is {} paint mixed with {} paint?",
                    "What color do {} and {} make?",
                    "What color is {} mixed with {}?",
                    "Do you know what colour {} and {} make?",
                    "Do you know which colour {} and {} make together?",
                    "Do you know what colour {} mixed with {} is?",
                ),
            },
        ),
    )
