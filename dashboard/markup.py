"""Text of others on pages: streamlit draws most texts as Markdown, with icons, formulas, links and pictures."""

import re

from benchmarks.report.literal import NOTHING, literal

_COLON = re.compile(r":(?!\s)")  # of what streamlit calls a directive, such as :red[…]
_NAMED = re.compile(r":(?=(?:material/)?[\w+-]+:)")  # icons and emoji are looked for after escapes are gone,
_ARROW = re.compile(r"(?<!\S)(<|-|>|~)(?=(?:->|>|-|=)(?!\S))")  # and so are arrows and comparisons
_BEGIN = re.compile(r"^(?=(?:#{1,6}|[+-])(?:\s|$)|(?:-+|=+)$)|^(\d+)(?=[.)](?:\s|$))")  # of a heading or a list


class Markdown(str):
    """Text that may be drawn as Markdown: the app's own, or text of others after `plain` or `code`."""


def plain(text: object) -> Markdown:
    """Text of others on one line, as Markdown that shows every character as it is and loads nothing."""
    parted = _ARROW.sub(rf"\1{NOTHING}", _NAMED.sub(f":{NOTHING}", " ".join(str(text).split())))
    return Markdown(_BEGIN.sub(r"\1\\", _COLON.sub(r"\:", literal(parted))))


def bold(text: object) -> Markdown:
    """As `plain`, in bold."""
    return Markdown(f"**{shown}**" if (shown := plain(text)) else "")


def code(text: object) -> Markdown:
    """Text of others on one line, in the letters of code, to be copied."""
    line = " ".join(str(text).split()).replace(":material/", f":{NOTHING}material/")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return Markdown(f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}")
