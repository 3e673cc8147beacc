"""Strangers' text in Markdown, shown literally."""

import re

_SYNTAX = re.compile(r"([\\`*_\[\]<>&|~$])")
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@[-\w]+\.)", re.IGNORECASE)
NOTHING = "\u200b"  # a space of no width, which keeps addresses, icons and arrows from being recognized


def literal(text: str) -> str:
    """Escape `text` on one line, so that Markdown and HTML find no mark and no link in it."""
    return _SYNTAX.sub(r"\\\1", _ADDRESS.sub(NOTHING, " ".join(text.split())))
