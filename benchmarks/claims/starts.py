"""Checks of the time until something is there to use: the package, a command's help, the app's first page."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.measure.bounds import ClaimedFigure
from benchmarks.run.progress import Reporter
from fastglm.errors import FastGLMError

REPEATS = 5
PROMISED = "fastglm --help within 1 s; the app's first page within 3 s of the server; import fastglm is timed too"
ROOT = Path(__file__).parents[2]
# The server has imported Streamlit before it takes a visitor.
PAGE = """
import time
from streamlit.testing.v1 import AppTest
began = time.perf_counter()
page = AppTest.from_file("pages/chat.py", default_timeout=60).run()
assert page.title and not page.exception
print(time.perf_counter() - began)
"""


def promise(reporter: Reporter, repeats: int = REPEATS) -> list[ClaimedFigure]:
    """Time each in new processes, in turn. Raises FastGLMError for a process that fails."""
    reporter.plan(3 * repeats)
    found: dict[str, list[float]] = {"fastglm --help": [], "first page": [], "import fastglm": []}
    for _ in range(repeats):
        for what, times in found.items():
            reporter.at(what)
            times.append(_page() if what == "first page" else _whole(what))
            reporter.step()
    most = {"fastglm --help": 1.0, "first page": 3.0}
    return [ClaimedFigure(median(times), "s", what, repeats, most=most.get(what)) for what, times in found.items()]


def _page() -> float:
    return float(_run("-c", PAGE).split()[-1])


def _whole(what: str) -> float:
    began = time.perf_counter()
    _run(*(["-c", what] if what.startswith("import") else ["-m", *what.split()]))
    return time.perf_counter() - began


def _run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise FastGLMError(f"python {arguments[0]} ended with status {done.returncode}: {done.stderr[-300:]}")
    return done.stdout
