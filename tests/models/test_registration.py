"""`import fastglm` registers the family with transformers, whichever is imported first and whatever is used of it.

Each case is a separate process, because imports stay.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "chatglm"

USES = {
    "AutoConfig": "from transformers import AutoConfig as A; print(type(A.from_pretrained(folder)).__name__)",
    "AutoTokenizer": "from transformers import AutoTokenizer as A; print(type(A.from_pretrained(folder)).__name__)",
    "AutoModel": "from transformers import AutoModel as A; print(type(A.from_pretrained(folder)).__name__)",
    "AutoModelForCausalLM": "import transformers.models.auto.modeling_auto as m; "
    "print(type(m.AutoModelForCausalLM.from_pretrained(folder)).__name__)",
    "AutoModelForSeq2SeqLM": "import transformers; "
    "print(type(transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)).__name__)",
}
NAMES = {"AutoConfig": "ChatGLM6BConfig", "AutoTokenizer": "ChatGLM6BTokenizer"}
MODEL = "ChatGLMForConditionalGeneration"


def run(code: str) -> list[str]:
    """Run code in a separate process; return the lines that it prints."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", f"folder = {str(GOLDEN)!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("first", ["fastglm", "transformers", "the class"])
@pytest.mark.parametrize("used", ["AutoConfig", "AutoTokenizer", "AutoModel"])
def test_one_class_used_alone_reads_a_checkpoint(used: str, first: str) -> None:
    before = {
        "fastglm": "import fastglm",
        "transformers": "import transformers; import fastglm",
        "the class": f"from transformers import {used}; import fastglm",
    }[first]
    assert run(f"{before}\n{USES[used]}") == [NAMES.get(used, MODEL)]


def test_every_class_reads_a_checkpoint() -> None:
    lines = run("import fastglm\n" + "\n".join(USES.values()))
    assert lines == [NAMES.get(used, MODEL) for used in USES]


def test_a_module_of_the_family_imported_first_is_registered_and_streams() -> None:
    """Importing a model imports parts of transformers, including its table of configs. The stream lies above models,
    which get it from the package.
    """
    streams = (
        "from transformers import AutoModel, AutoTokenizer\n"
        "model, tokenizer = (each.from_pretrained(folder) for each in (AutoModel, AutoTokenizer))\n"
        "*_, (text, rounds) = model.stream_chat(tokenizer, '你好', max_length=24, do_sample=False)\n"
        "print(rounds == [('你好', text)])"
    )
    first = f"from fastglm.models.chatglm.model import {MODEL}"
    lines = run("\n".join([first, USES["AutoModel"], USES["AutoTokenizer"], streams]))
    assert lines == [MODEL, "ChatGLM6BTokenizer", "True"]


def test_no_module_of_the_family_imports_the_class_it_is_registered_with() -> None:
    """Such an import would find one of the two half loaded."""
    code = (
        "import sys, fastglm.models.chatglm.config\n"
        "print([name for name in sys.modules if name.startswith('transformers.models.auto')])\n"
        "import fastglm.models.chatglm.tokenizer, fastglm.models.chatglm.model\n"
        "print([name for name in sys.modules if name.endswith(('.tokenization_auto', '.modeling_auto'))])"
    )
    assert run(code) == ["[]", "[]"]


def test_threads_that_import_at_the_same_time_all_find_it() -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from threading import Barrier\n"
        "barrier = Barrier(4)\n"
        "def use(number):\n"
        "    barrier.wait()\n"
        "    if number == 0: import fastglm.models.chatglm.model\n"
        "    if number == 1: import fastglm\n"
        "    if number == 2: from transformers import AutoModel\n"
        "    if number == 3: import fastglm; fastglm.load\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    list(pool.map(use, range(4)))\n"
    )
    assert run(code + USES["AutoModel"]) == [MODEL]


def test_a_child_that_is_forked_or_spawned_finds_it(tmp_path: Path) -> None:
    script = tmp_path / "children.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "def config(folder):\n"
        "    from transformers import AutoConfig\n"
        "    return AutoConfig.from_pretrained(folder)\n"
        "if __name__ == '__main__':\n"
        "    import fastglm\n"
        "    with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "        forked = pool.apply(config, sys.argv[1:])\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(repr, [forked])[:15], type(forked).__name__)\n"
    )
    assert run(f"import runpy, sys; sys.argv[1:] = [folder]; runpy.run_path({str(script)!r}, run_name='__main__')") == [
        "ChatGLM6BConfig ChatGLM6BConfig"
    ]


def test_other_imports_and_the_modules_themselves_are_left_as_they_are() -> None:
    code = """
import importlib, inspect, sys
import fastglm
from fastglm.models import registration

def finders():
    return sum(isinstance(finder, registration._Finder) for finder in sys.meta_path)

print(finders(), sys.meta_path[0].find_spec("json", None))
import transformers.models.auto.configuration_auto as auto
print(type(auto.__loader__).__name__, type(auto.__spec__.loader).__name__, "AutoConfig" in inspect.getsource(auto))
importlib.reload(fastglm)
importlib.reload(auto)
print(finders(), type(auto.AutoConfig.from_pretrained(folder)).__name__)
"""
    assert run(code) == ["1 None", "SourceFileLoader SourceFileLoader True", "1 ChatGLM6BConfig"]
