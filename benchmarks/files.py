"""Files that a command writes or reads: checked before the work, written whole."""

import json
import secrets
from pathlib import Path
from typing import Any

from fastglm.errors import FastGLMError, UsageError
from fastglm.system.files import open_regular, replacing


def check_json(path: Path) -> None:
    """Run `check_file` for --json."""
    check_file(path, "--json")


def check_file(path: Path, option: str) -> None:
    """Raise `UsageError` if `path` cannot be written, before hours are spent on its content."""
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name a file for {option}")
        probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): name another file for {option}") from error


def check_source(path: Path) -> None:
    """Raise `UsageError` if `path` cannot be read as a file: a pipe, a device, or missing."""
    try:
        open_regular(path).close()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a file of export") from error


def write_data(path: Path, data: Any) -> None:
    """Write plain data as JSON. Raises `FastGLMError`."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all. Raises `FastGLMError`."""
    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FastGLMError(f"{path} could not be written ({error.strerror}): make room or name another file") from error
