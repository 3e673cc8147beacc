"""Converted checkpoints for all tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import recorded

from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Layout


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder for transformers of a recorded checkpoint, made once."""
    place = tmp_path_factory.mktemp("converted")

    def made(name: str) -> Path:
        out = place / name
        return out if out.exists() else convert(recorded.folder(name), Layout.glm, out)

    return made
