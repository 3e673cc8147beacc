"""JSON from elsewhere, read piece by piece within bounds, so that memory stays small whatever a file holds."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO

import ijson

DEPTH = 24  # depth of objects and lists
KEYS = 1_000  # fields of an object
TEXT = 1 << 20  # bytes of a text or a number
LARGEST = 2**63  # largest whole number: no database keeps a larger one
OPENING, CLOSING = ("start_map", "start_array"), ("end_map", "end_array")
_ESCAPED = re.compile(rb"\\.", re.DOTALL)

Event = tuple[str, Any]  # an event as ijson names it: its kind, and a key or a value


class JSONError(ValueError):
    """JSON that is broken or exceeds the bounds; the message is one line."""


def events(file: BinaryIO) -> Iterator[Event]:
    """The parts of a JSON document in order. Raises JSONError at the first invalid part."""
    keys: list[int] = []  # items of each open object or list
    try:
        for event, value in ijson.basic_parse(_Guarded(file), use_float=True):
            if event == "number":
                _check(value)
            elif event in OPENING:
                keys.append(0)
                if len(keys) > DEPTH:
                    raise JSONError(f"it is nested more than {DEPTH} deep")
            elif event in CLOSING:
                keys.pop()
            elif event == "map_key":
                keys[-1] += 1
                if keys[-1] > KEYS:
                    raise JSONError(f"an object has more than {KEYS:,} fields")
            yield event, value
    except JSONError:
        raise
    except (ijson.JSONError, UnicodeError) as error:
        raise JSONError(f"the JSON is broken or cut off ({_line(error)})") from error
    except ValueError as error:  # Python refuses whole numbers of thousands of digits
        raise JSONError(f"a number is too large ({_line(error)})") from error


def build(first: Event, rest: Iterator[Event], most: int) -> Any:
    """Build the value that begins with `first`. Raises JSONError if it has more than `most` parts or characters."""
    holders: list[Any] = []  # the open objects and lists, and for each object the next field's name
    names: list[str] = []
    for event, value in chain([first], rest):
        most -= 1 + (len(value) // 20 if isinstance(value, str) else 0)
        if most < 0:
            raise JSONError("it has too many numbers and texts")
        if event == "map_key":
            names[-1] = value
            continue
        if event in CLOSING:
            value = holders.pop()
            names.pop()
        else:
            value = {} if event == "start_map" else [] if event == "start_array" else value
            if holders and isinstance(holders[-1], list):
                holders[-1].append(value)
            elif holders:
                holders[-1][names[-1]] = value
            if event in OPENING:
                holders.append(value)
                names.append("")
        if not holders:
            return value
    raise JSONError("the JSON is broken or cut off")


def read(file: BinaryIO, most: int) -> Any:
    """Read a whole document of at most `most` parts. Raises JSONError."""
    found = events(file)
    first = next(found, None)
    if first is None:
        raise JSONError("the JSON is broken or cut off")
    value = build(first, found, most)
    for _ in found:  # anything after the end is an error
        pass
    return value


def _check(number: float) -> None:
    if not (-LARGEST <= number < LARGEST if type(number) is int else abs(number) < float("inf")):
        raise JSONError("a number is too large, or not a number")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class _Guarded:
    """A file that refuses to be read beyond `TEXT` bytes of one text, number or gap."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._since = 0  # bytes since the last quotation mark
        self._escaping = False  # the last byte escapes the next one

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises JSONError."""
        found = self._file.read(size)
        seen = _ESCAPED.sub(b"__", b"\\" * self._escaping + found)
        self._escaping = seen.endswith(b"\\")
        pieces = seen.split(b'"')
        lengths = [self._since + len(pieces[0]), *map(len, pieces[1:])]
        if max(lengths) > TEXT:
            raise JSONError(f"a text or a number is longer than {TEXT:,} bytes")
        self._since = lengths[-1]
        return found
