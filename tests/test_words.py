"""Every docstring begins with a verb or a plain noun phrase; files and functions stay short."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ROOT = Path(__file__).parent.parent
PLACES = ("fastglm", "benchmarks", "dashboard", "pages", "tests", "streamlit_app.py")
FILE_LINES = 400
FUNCTION_LINES = 60

# A clause would follow one of these words, or the words before it would be missing.
CLAUSES = _words(
    "what whatever whether of those that how why where wherever who whoever whose whom which whichever when whenever "
    "while as if so but because since than unless until"
)
PREPOSITIONS = _words("in from to by at on with for through under over into after before")
# Participles whose ending does not tell. Forms that are verbs too (read, put, set, cut, split) are none.
PARTICIPLES = _words(
    "built caught felt found gone held kept laid left lent lost made meant met paid said sent "
    "sought sold spent taught thought told understood won done begun bound brought"
)
# Words with a participle's ending that are none.
NO_PARTICIPLES = _words(
    "bleed embed exceed feed heed indeed need proceed red seed shed speed succeed weed hundred "
    "between even eleven golden happen kitchen listen open often seven shorten ten then token "
    "lengthen children men women screen green when own down town unknown brown"
)
# A function does something in the imperative: "Write …". Words that are nouns too (answers, checks, rounds) are none.
THIRD_PERSON = _words(
    "adds applies asks builds chooses computes converts creates decodes divides drops encodes fills "
    "finds gives keeps lets loads makes multiplies opens packs prints puts raises reads registers removes replaces "
    "returns rotates saves says sends takes tells trains uses waits writes yields"
)
# A participle before one of these describes no noun.
NO_NOUNS = _words(
    "a an the this that these those it its them he she they each every all any none nothing no one "
    "of in on by with without to for from at as into onto over under than until till before after between through "
    "and or but if so when where while because once only not never also again anew apart together away out up down "
    "back here there now then later what whatever which who how"
)


def _sources() -> Iterator[Path]:
    for place in PLACES:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


class Definition(NamedTuple):
    """A module, a class or a function; `lines` of a function, those of tables and long texts left out."""

    place: str
    docstring: str
    lines: int
    is_class: bool = False


def _table_lines(node: ast.AST) -> int:
    """Lines that literals of several lines take below a node."""
    if isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set | ast.Constant | ast.JoinedStr):
        return (node.end_lineno or 0) - node.lineno
    return sum(_table_lines(child) for child in ast.iter_child_nodes(node))


def _definitions(file: str, node: ast.AST) -> Iterator[Definition]:
    """The definition that a node is, and all within it."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        lines = 0
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            lines -= _table_lines(node) if lines > FUNCTION_LINES else 0
        name = getattr(node, "name", "")
        yield Definition(
            f"{file}:{getattr(node, 'lineno', 1)} {name}",
            ast.get_docstring(node, False) or "",
            lines,
            isinstance(node, ast.ClassDef),
        )
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from _definitions(file, child)


@pytest.fixture(scope="module")
def definitions() -> list[Definition]:
    """Everything that the repository's Python files define."""
    files = ((path.relative_to(ROOT).as_posix(), path) for path in _sources())
    return [each for file, path in files for each in _definitions(file, ast.parse(path.read_bytes()))]


def _fault(docstring: str) -> str | None:
    """Name the fault of a docstring's first words, or return None."""
    words = docstring.split()
    first, second = [*words, "", ""][:2]
    plain, following = first.strip(".,:;()").lower(), second.strip(".,:;()").lower()
    if plain in CLAUSES:
        return f"starts with {first}"
    if plain in PREPOSITIONS and following in CLAUSES:
        return f"starts with {first} {second}"
    ending = plain.endswith(("ed", "en", "wn")) and plain not in NO_PARTICIPLES
    if (ending or plain in PARTICIPLES) and (first != first.rstrip(".,:;") or not following or following in NO_NOUNS):
        return f"starts with a bare participle: {first} {second}".rstrip()
    return None


@pytest.mark.parametrize("docstring", [
    "What a step takes.", "Whether it is on.", "Of all jobs the first.", "Those left.", "That which counts.",
    "In which order they run.", "Made from texts.", "Kept, then used.", "Packed by columns.", "Given the ids, a mask.",
    "Where it lies.",
])  # fmt: skip
def test_faults_are_found(docstring: str) -> None:
    assert _fault(docstring)


@pytest.mark.parametrize("docstring", [
    "Packed weights of a layer.", "Embed the ids.", "Read a file.", "In fp32, the loss.", "Token ids.", "Found runs.",
    "Seed of a run.", "The steps that follow.", "Open a store.", "Split the text.",
])  # fmt: skip
def test_plain_beginnings_are_let_pass(docstring: str) -> None:
    assert _fault(docstring) is None


def test_docstrings_begin_with_a_verb_or_a_noun(definitions: list[Definition]) -> None:
    faults = [f"{each.place} {fault}" for each in definitions if (fault := _fault(each.docstring))]
    assert not faults, "\n".join(faults)


def test_functions_are_told_in_the_imperative(definitions: list[Definition]) -> None:
    told = [(each.place, each.docstring.partition(" ")[0]) for each in definitions if not each.is_class]
    faults = [f"{place} starts with {first}" for place, first in told if first.lower() in THIRD_PERSON]
    assert not faults, "\n".join(faults)


def test_functions_fit_a_screen(definitions: list[Definition]) -> None:
    long = [f"{each.place}: {each.lines} lines" for each in definitions if each.lines > FUNCTION_LINES]
    assert not long, "\n".join(long)


def test_files_are_short() -> None:
    kernels = sorted((ROOT / "fastglm").rglob("*.cpp"))
    lengths = {path: len(path.read_bytes().splitlines()) for path in [*_sources(), *kernels]}
    long = [path.relative_to(ROOT).as_posix() for path, lines in lengths.items() if lines > FILE_LINES]
    assert not long, "\n".join(long)


def test_the_page_on_architecture_names_files_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./-]+)`", page) if "/" in name or name.endswith((".py", ".toml"))}
    assert len(named) > 50
    assert not sorted(name for name in named if not (ROOT / name).exists())
    for readme in ("README.md", "README_zh.md"):
        assert "(docs/architecture.md)" in (ROOT / readme).read_text(encoding="utf-8")
