"""`import fastglm`, and all that only talks to a model in another process, does without torch and transformers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import recorded

import fastglm
from fastglm.compress.manifest import FILE
from fastglm.models.source import demo_folder

ROOT = Path(__file__).parents[1]
FORBIDDEN = """
import sys

class Forbids:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers"):
            raise ImportError(name + " is imported")

sys.meta_path.insert(0, Forbids())
"""


def run(code: str) -> str:
    """Run code in a process of its own; return its output."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(*folders: str) -> list[str]:
    """The modules in packages of `fastglm`."""
    found = [path for folder in folders for path in sorted((ROOT / "fastglm" / folder).glob("*.py"))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in found]


def test_light_modules_need_neither_torch_nor_transformers() -> None:
    light = ["fastglm", "fastglm.errors", "fastglm.hosting.host", "fastglm.hosting.pool", "fastglm.variants.offers"]
    run(FORBIDDEN + "\n".join(f"import {name}" for name in [*light, *names("progress", "system")]))


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


PAGES = [path.stem for path in sorted((ROOT / "pages").glob("*.py"))]

OPENS = """
from streamlit.testing.v1 import AppTest
for page in {pages}:
    app = AppTest.from_file("pages/" + page + ".py", default_timeout=60)
    if {model!r}:
        app.query_params["model"] = {model!r}
    app.run()
    assert not app.exception and not app.error and not app.warning, (page, app.exception, app.error, app.warning)
    assert app.title, page
"""


def test_pages_open_without_torch_and_transformers() -> None:
    run(FORBIDDEN + OPENS.format(pages=PAGES, model=""))


def test_pages_show_models_of_the_home_without_torch_and_transformers(own_home: Path) -> None:
    model, made = own_home / "models" / "tiny", own_home / "models" / "tiny-turbo"
    for folder in (model, made):
        shutil.copytree(recorded.folder("chatglm"), folder)
    record = json.loads((demo_folder().with_name("variants") / "turbo" / FILE).read_text(encoding="utf-8"))
    record["parents"][0]["model"] = str(model)
    (made / FILE).write_text(json.dumps(record), encoding="utf-8")
    code = """
from fastglm.models.source import find_source, openable
from fastglm.variants.compressed import find_made
found = openable()
print(*found.models[2:], find_made(find_source({model!r}), "turbo"), found.refused)
"""
    shown = run(FORBIDDEN + OPENS.format(pages=PAGES, model=str(model)) + code.format(model=str(model)))
    assert shown.split() == [str(model), str(made), str(made), "{}"]


def test_command_lines_explain_themselves_without_torch_and_transformers() -> None:
    for module, command in (
        ("fastglm.cli.commands", ["--help"]),
        ("fastglm.cli.commands", ["convert", "--help"]),
        ("benchmarks.cli.commands", ["--help"]),
    ):
        assert "Usage" in run(FORBIDDEN + f"from {module} import main\nsys.exit(main({command}))")
