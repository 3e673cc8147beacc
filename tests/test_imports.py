"""`import fastglm`, and all that only talks to a model in another process, does without torch and transformers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastglm

ROOT = Path(__file__).parents[1]
FORBIDDEN = "import sys; sys.modules |= {'torch': None, 'transformers': None}\n"  # to import either is an error


def run(code: str) -> str:
    """Run code in a process of its own; return its output."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(*folders: str) -> list[str]:
    """The modules in packages of `fastglm`."""
    found = [path for folder in folders for path in sorted((ROOT / "fastglm" / folder).glob("*.py"))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in found]


def test_light_modules_need_neither_torch_nor_transformers() -> None:
    light = ["fastglm", "fastglm.errors", *names("progress"), "fastglm.hosting.host", "fastglm.hosting.pool"]
    for name in light:
        run(FORBIDDEN + f"import {name}")


def test_public_names_are_listed_and_found() -> None:
    assert set(fastglm.__all__) <= set(dir(fastglm))
    code = "from fastglm import *\nprint(load.__module__, stream.__module__, compress.__module__, Piece.__module__)"
    assert run(code).split() == [
        "fastglm.variants.load",
        "fastglm.generation.stream",
        "fastglm.compress",
        "fastglm.generation.piece",
    ]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fastglm.nothing


def test_compress_is_the_function_also_after_a_module_of_its_package() -> None:
    assert run("import fastglm.compress.recipe\nimport fastglm\nprint(fastglm.compress.__name__)") == "compress\n"
    assert run("from fastglm.compress import recipe\nimport fastglm\nprint(fastglm.compress.__name__)") == "compress\n"
