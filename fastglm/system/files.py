"""Files: reading those that others give, regular ones of a bounded size only, and replacing files whole."""

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CheckpointError
from .home import private, protect

DOWNLOAD_LIMIT = "FASTGLM_MAX_DOWNLOAD"  # the variable that says how many GB may be downloaded at once
VISITORS_LIMIT = 20  # GB for visitors of the app by default: every published checkpoint of the family fits
DEEPEST = 64  # levels of lists and objects in a JSON file
_MB = 1 << 20
_LIMITS = {
    "config.json": _MB,
    "tokenizer_config.json": 4 * _MB,
    "generation_config.json": _MB,
    "tokenizer.json": 32 * _MB,  # GLM-4's has 20
}
_LARGEST = 16 * _MB  # levels in all other JSON files: an index names every tensor, a record every file and step
_LARGEST_LOG = 10 * _MB
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# A string, closed or not, or a bracket that opens or closes a level.
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|$)|[\[{\]}]', re.DOTALL)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, also through a link. Raises OSError if the path is missing, a device, a pipe or
    a folder.
    """
    _check_regular(path, os.stat(path).st_mode)  # opening a device may already make it act
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """Read a whole file. Raises OSError as `open_regular` does, and if the file is larger than `most` bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
        if len(content) > most:
            size = os.fstat(file.fileno()).st_size
            raise OSError(errno.EFBIG, f"it has {in_words(size)}, at most {in_words(most)} are read", str(path))
    return content


def last_line(log: Path) -> str:
    """The last line of a log that is not empty; an empty text if there is none, or the log cannot be read."""
    try:
        text = read_regular(log, _LARGEST_LOG).decode("utf-8", "replace")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file. Raises CheckpointError if the file holds something else, is too large or nested
    too deep.
    """
    try:
        text = read_regular(path, _LIMITS.get(path.name, _LARGEST)).decode("utf-8")
        check_depth(text)
        value = json.loads(text)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): fetch the file again.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}): fetch the file again.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object: fetch the file again.")
    return value


def check_depth(text: str) -> None:
    """Raise ValueError if JSON is nested deeper than `DEEPEST`; the JSON is not parsed for this."""
    depth = 0
    for token in _TOKENS.finditer(text):
        mark = token[0][0]
        depth += (mark in "[{") - (mark in "]}")
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")


def in_words(size: float) -> str:
    """Bytes for people: 1.2 GB, 34.5 MB."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path`, to write in the block: at its end the file takes the place of `path`.

    A kill or a loss of power leaves the old file or the new one; a kill may leave a file `….partial` too.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        os.close(private(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        yield partial
        put(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def put(made: Path, path: Path) -> None:
    """Move a complete file or folder to its place, so that it survives a loss of power.

    A file replaces an existing one. Raises OSError if a folder is in the place.
    """
    protect(made)
    for each in (*made.rglob("*"), made):
        _write_through(each)
    made.replace(path)
    _write_through(path.parent)


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
    raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def _write_through(path: Path) -> None:
    """Have the system write a file, or a folder's list of names, to the disk."""
    if os.name != "posix" or path.is_symlink():
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
