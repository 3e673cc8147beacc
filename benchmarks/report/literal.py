"""Text of others in Markdown, shown as it is."""

import re

_SYNTAX = re.compile(r"([\\`*_\[\]<>&|~$])")
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@[-\w]+\.)", re.IGNORECASE)
NOTHING = "\u200b"  # a space without width: what is parted by it is no address, icon or arrow any more


def literal(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take as its own, or make a link of."""
    return _SYNTAX.sub(r"\\\1", _ADDRESS.sub(NOTHING, " ".join(text.split())))
