"""Files from visitors that a job reads later: in a folder of the app, named after their content."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fastglm.errors import FastGLMError
from fastglm.system.home import folder, private, writing


def keep(name: str, content: bytes, read: Callable[[Path], object]) -> Path:
    """Keep a visitor's texts as a file.

    Raises `FastGLMError` as `read` does, naming the faulty line, and if the home has no space.
    """
    place = folder(f"texts/{_hash(content)}")
    stem = "".join(letter for letter in Path(name).stem if letter.isalnum() or letter in "-_")[:60]
    file = place / f"{stem}{'.jsonl' if Path(name).suffix.lower() == '.jsonl' else '.txt'}"
    _write(file, content)
    try:
        read(file)
    except FastGLMError as error:
        file.unlink()
        with suppress(OSError):  # the same content exists under another name, and a job may be reading it
            place.rmdir()
        raise type(error)(str(error).replace(str(file), name)) from error
    return file


def keep_recipe(text: str) -> Path:
    """Keep a recipe in YAML as a file."""
    file = folder("recipes") / f"{_hash(text.encode())}.yaml"
    _write(file, text.encode())
    return file


def _write(path: Path, content: bytes) -> None:
    with writing(), open(path, "wb", opener=private) as file:
        file.write(content)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
