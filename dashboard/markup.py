"""Strangers' text on pages: streamlit draws most texts as Markdown, with icons, formulas, links and pictures."""

import re

from benchmarks.report.literal import NOTHING, literal

_COLON = re.compile(r":(?!\s)")  # beginning of what streamlit calls a directive, such as :red[…]
_NAMED = re.compile(r":(?=(?:material/)?[\w+-]+:)")  # streamlit looks for icons and emoji after removing escapes
_ARROW = re.compile(r"(?<!\S)(<|-|>|~)(?=(?:->|>|-|=)(?!\S))")  # and likewise for arrows and comparisons
_BEGIN = re.compile(r"^(?=(?:#{1,6}|[+-])(?:\s|$)|(?:-+|=+)$)|^(\d+)(?=[.)](?:\s|$))")  # marks of a heading or a list


class Markdown(str):
    """Text that may be drawn as Markdown: the app's own, or strangers' text after `plain` or `code`."""


def plain(text: object) -> Markdown:
    """Strangers' text on one line, as Markdown that shows every character as typed and loads nothing."""
    parted = _ARROW.sub(rf"\1{NOTHING}", _NAMED.sub(f":{NOTHING}", " ".join(str(text).split())))
    return Markdown(_BEGIN.sub(r"\1\\", _COLON.sub(r"\:", literal(parted))))


def bold(text: object) -> Markdown:
    """Like `plain`, in bold."""
    return Markdown(f"**{shown}**" if (shown := plain(text)) else "")


def code(text: object) -> Markdown:
    """Strangers' text on one line, in a code font, for copying."""
    line = " ".join(str(text).split()).replace(":material/", f":{NOTHING}material/")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return Markdown(f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}")
