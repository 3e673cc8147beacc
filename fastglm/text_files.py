"""Text files from users: prompts with expected answers, or plain text."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .errors import UsageError
from .history import History, of_rounds
from .messages import Message
from .system.files import open_regular

_KEYS = {"prompt", "answer", "history"}
LONGEST = 16 << 20  # bytes of a line
LARGEST = 1 << 30  # bytes of a file, which is held in memory as a whole


class Text(NamedTuple):
    """A text to learn from or score: earlier rounds, a prompt (empty for plain text), and the answer to it."""

    history: History
    prompt: str
    answer: str
    opening: tuple[Message, ...] = ()  # before the history: the system's message
    closing: tuple[Message, ...] = ()  # after the prompt: a call of a tool, and what the tool gave
    calls: str = ""  # the tool that the answer calls

    def __repr__(self) -> str:
        """All parts that are not empty. A stopped compression knows its texts by these words."""
        told = {name: part for name, part in self._asdict().items() if part or name in ("history", "prompt", "answer")}
        return f"Text({', '.join(f'{name}={part!r}' for name, part in told.items())})"

    @property
    def messages(self) -> list[Message]:
        """The conversation that the answer belongs to."""
        return [*self.opening, *of_rounds(self.history, self.prompt), *self.closing]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, with their numbers from 1.

    Raises:
        UsageError: the file cannot be read or is too large, or a line is not UTF-8 or too long.
    """
    try:
        with open_regular(path) as file:  # in bytes: other separators may be part of a text
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise UsageError(f"{path} is larger than {LARGEST >> 30} GB: give a part of it.")
            for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), 1):
                if len(line) > LONGEST:
                    raise UsageError(f"{path}, line {number} has over {LONGEST >> 20} MB: put a text on each line.")
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}, line {number} cannot be read as UTF-8 ({error.reason}): save the file as UTF-8."
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a text file in UTF-8.") from error


def read_rounds(path: Path) -> list[Text]:
    """Read a JSON Lines file: `{"prompt": …, "answer": …}` per line, with `"history": [[question, answer]]` for earlier
    rounds.

    Raises:
        UsageError: a line is wrong; the message names it.
    """
    return [_round(line, f"{path}, line {number}") for number, line in read_lines(path)]


def read_texts(path: Path) -> list[Text]:
    """Read the texts of a UTF-8 file: JSON Lines of `{"prompt": …, "answer": …}`, or otherwise a plain text per line.

    A file is JSON Lines if its name ends in `.jsonl` or it begins with a brace.

    Raises:
        UsageError: no such file, another encoding, no texts, or a wrong line, named by its number.
    """
    first = next(read_lines(path), None)
    if first is None:
        raise UsageError(f'{path} has no texts: write one per line, or one {{"prompt": …, "answer": …}} per line.')
    if path.suffix == ".jsonl" or first[1].startswith("{"):
        return read_rounds(path)
    return [_plain(line, f"{path}, line {number}") for number, line in read_lines(path)]


def is_text(part: Any) -> bool:
    r"""Tell whether text can be stored: half a surrogate pair ("\ud800") is no character, and PostgreSQL refuses
    "\u0000".
    """
    return isinstance(part, str) and "\0" not in part and not any("\ud800" <= char <= "\udfff" for char in part)


def _plain(line: str, place: str) -> Text:
    if not is_text(line):
        raise UsageError(f"{place} holds a zero character: save the file as UTF-8 text.")
    return Text([], "", line)


def _round(line: str, place: str) -> Text:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON ({error})") from error
    if not isinstance(data, dict) or not {"prompt", "answer"} <= data.keys() <= _KEYS:
        raise UsageError(f'{place}: write "prompt" and "answer", "history" if there is one, and nothing else')
    history = data.get("history", [])
    for key in ("prompt", "answer"):
        if not is_text(data[key]) or not data[key].strip():
            raise UsageError(
                f'{place}: "{key}" is a text that is not empty, of characters that UTF-8 and databases have'
            )
    if not isinstance(history, list) or not all(_is_pair(part) for part in history):
        raise UsageError(f'{place}: "history" is a list of pairs of texts, [[asked, answered], …]')
    return Text([(asked, said) for asked, said in history], data["prompt"], data["answer"])


def _is_pair(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 2 and all(map(is_text, part))
