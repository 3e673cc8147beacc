r"""A small grammar: texts made by filling the slots of patterns; equal states of the random generator give equal texts.

A grammar is text. `[name]` opens a symbol; its lines are its alternatives, or several on a line separated by ` / `.
`[name one two]` is a symbol whose alternatives have the fields `one` and `two`, separated by ` | `. In an alternative,
`{name}` is a fresh alternative of that symbol, `{name#tag}` the alternative chosen for this tag in this text,
`{name#tag.two}` its field, and `{name.two}` the field of a fresh alternative. `\n` is a line break, and a line that
begins with # is a comment.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from importlib.resources import files
from random import Random

Row = Mapping[str, str]  # field to text; a symbol without fields has the field ""

_HEADER = re.compile(r"\[(.+)\]")
_SLOT = re.compile(r"\{(\w+)(?:#(\w+))?(?:\.(\w+))?\}")


class Grammar:
    """Symbols and their alternatives."""

    def __init__(self, text: str) -> None:
        """Parse a grammar. Raises ValueError if a slot names no symbol or field."""
        self._rows: dict[str, list[Row]] = {}
        symbol, fields = "", list[str]()
        for line in filter(None, map(str.strip, text.splitlines())):
            if line.startswith("#"):
                continue
            if header := _HEADER.fullmatch(line):
                symbol, *fields = header[1].split()
                fields = fields or [""]
                self._rows[symbol] = []
            else:
                self._rows[symbol] += [
                    {field: text.strip().replace("\\n", "\n") for field, text in zip(fields, row, strict=True)}
                    for row in (part.split(" | ") for part in line.split(" / "))
                ]
        for rows in self._rows.values():
            for slot in _SLOT.finditer("".join(value for row in rows for value in row.values())):
                if slot[1] not in self._rows or (slot[3] and slot[3] not in self._rows[slot[1]][0]):
                    raise ValueError(f"no such symbol or field: {slot[0]}")

    @classmethod
    def load(cls, name: str) -> "Grammar":
        """Read the grammar in the package's data file of that name."""
        return cls(files("fastglm.demo.data").joinpath(name).read_text(encoding="utf-8"))

    def rows(self, symbol: str) -> list[Row]:
        """The alternatives of a symbol."""
        return self._rows[symbol]

    def expand(self, rng: Random, symbol: str, chosen: Mapping[str, Row] | None = None) -> str:
        """Make a text of `symbol`; `chosen` holds the alternatives already chosen for each `name#tag`.

        An alternative of a symbol is repeated only after all others were used.
        """
        return _Text(rng, self._rows, dict(chosen or {})).of(f"{{{symbol}}}")


class _Text:
    """State of one text while it is made: chosen and used alternatives."""

    def __init__(self, rng: Random, rows: Mapping[str, list[Row]], chosen: dict[str, Row]) -> None:
        self._rng, self._rows, self._chosen = rng, rows, chosen
        self._used: dict[str, set[int]] = defaultdict(set)
        for slot, row in chosen.items():
            symbol = slot.partition("#")[0]
            self._used[symbol].add(rows[symbol].index(row))

    def of(self, pattern: str) -> str:
        return _SLOT.sub(self._fill, pattern) if "{" in pattern else pattern

    def _fill(self, slot: re.Match[str]) -> str:
        symbol, tag, field = slot.groups()
        row = self._chosen.get(f"{symbol}#{tag}") or self._draw(symbol)
        if tag:
            self._chosen[f"{symbol}#{tag}"] = row
        return self.of(row[field or next(iter(row))])

    def _draw(self, symbol: str) -> Row:
        rows, used = self._rows[symbol], self._used[symbol]
        if len(used) == len(rows):
            used.clear()
        while (number := self._rng.randrange(len(rows))) in used:
            pass
        used.add(number)
        return rows[number]


def english(text: str) -> str:
    """Finish an English text: a capital at the start of each sentence and line, and "an" before a vowel."""
    text = re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", text)
    return re.sub(r"(^|[.!?] |\n)([a-z])", lambda start: start[1] + start[2].upper(), text)
