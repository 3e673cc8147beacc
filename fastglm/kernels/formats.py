"""The weight formats by name and by layout."""

from functools import cache

import torch

from .format import WeightFormat
from .int4 import Int4
from .int8 import Int8
from .layout import LAYOUTS, Layout, get_layout


@cache
def format_of(layout: Layout) -> WeightFormat:
    """The format of a layout."""
    return Int8(getattr(torch, layout.scale)) if layout.bits == 8 else Int4(layout.group)


def get_format(name: str) -> WeightFormat:
    """The format of a name. Raises UsageError with a list of names if there is none."""
    return format_of(get_layout(name))


FORMATS = {name: format_of(layout) for name, layout in LAYOUTS.items()}
