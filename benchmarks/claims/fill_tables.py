"""Fill the tables of a Markdown page from files of results, so that no figure on the page is written by hand.

A table stands between marks: `<!-- figures: KIND FILES -->` and `<!-- end -->`, KIND one of `TABLES`, FILES a name or
pattern in the folder of results; ` only A; B` at the end of a mark chooses columns, or claims.
A file is one of `benchmarks.exchange.result_file`, an export of the results store, or an output of `run --json` or
`peers --json`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment.machine import BUSY, ROOT
from benchmarks.exchange.result_file import ResultError, ResultFile, Row, described, read
from benchmarks.files import write_text
from benchmarks.measure.bounds import ClaimedFigure, kept, text, times
from benchmarks.measure.statistics import Estimate
from benchmarks.measure.wording import kind, quantity
from benchmarks.report.literal import literal
from fastglm.errors import FastGLMError

RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("BENCHMARKS.md", "README.md", "README_zh.md")
MARKED = re.compile(r"<!-- figures: ([^\n]*?) -->\n(.*?)<!-- end -->", re.DOTALL)
MARK = re.compile(r"(\w+) (\S+?)(?: only (.+))?")
UNTOLD = ("fastglm", "numpy", "scipy", "accelerate")  # versions in the files that a page does not need
VERDICTS = {True: "kept", False: "**missed**", None: "open: promised for other machines"}


def fill(page: Path, folder: Path = RESULTS) -> bool:
    """Fill the tables of a page; return whether the page changed. Raises `FastGLMError`."""
    try:
        before = page.read_text(encoding="utf-8")
    except OSError as error:
        raise FastGLMError(f"{page} cannot be read ({error.strerror})") from error
    after = filled(before, folder)
    if after != before:
        write_text(page, after)
    return after != before


def filled(page: str, folder: Path) -> str:
    """The text of a page with its tables filled. Raises `FastGLMError` for a wrong mark or file."""
    marks = page.count("<!-- figures: ")
    if marks != len(MARKED.findall(page)) or page.count("<!-- end -->") != marks:
        raise FastGLMError("a mark <!-- figures: … --> has no <!-- end --> of its own: write one below it")

    def table(found: re.Match[str]) -> str:
        mark = MARK.fullmatch(found[1])
        if not mark or mark[1] not in TABLES:
            raise FastGLMError(f"the mark {found[1]!r} is not a table: write one of {', '.join(TABLES)} and a file")
        lines = TABLES[mark[1]](_read(folder, mark[2]), mark[3].split("; ") if mark[3] else None)
        text = "\n".join(lines).strip("\n")
        return f"<!-- figures: {found[1]} -->\n\n{text}\n\n<!-- end -->"

    return MARKED.sub(table, page)


def promises(files: Sequence[ResultFile], only: Sequence[str] | None) -> Iterator[str]:
    """Table of every claim on every machine that measured it; claims without any measurement are listed too.

    Raises `ResultError` for a figure of no claim, or with other bounds than the present claim's.
    """
    from benchmarks.claims.claims import PROMISES

    for file in files:
        for row in file.rows.values():
            if row.name not in PROMISES or row.promised != PROMISES[row.name].promised:
                now = PROMISES[row.name].promised if row.name in PROMISES else "nothing"
                raise ResultError(f"{file.path}: {row.name} was measured for “{row.promised}”, promised is {now}")
    yield from _head("name", "promised", "measured", "", "measured on")
    for name in only or PROMISES:
        found = [(file, file.rows[name]) for file in files if name in file.rows]
        promised = PROMISES[name].promised
        if not found:
            yield _line(f"`{name}`", literal(promised), "", "not measured", "")
        for number, (file, row) in enumerate(found):
            first = (f"`{name}`", literal(promised)) if number == 0 else ("", "")
            measured = literal("; ".join(filter(None, [text(row.figures), row.note])))
            other = [fact for fact in _with(row) if fact not in _usual(file)]
            where = ", ".join([_name(file), *_when(row), *other])
            yield _line(*first, measured, VERDICTS[kept(row.figures)], where)
    for file in files:
        yield from ("", f"{_name(file)}: {_machine(file)}; {', '.join(_usual(file))}.")


def grid(files: Sequence[ResultFile], only: Sequence[str] | None) -> Iterator[str]:
    """For each file a table with a line per row and a column per figure, and the conditions below it."""
    if not files:
        yield "Not measured yet."
    for file in files:
        rows = [row for row in file.rows.values() if row.figures]  # the table gives the others' reasons
        yield from ("", *cells([file], only), "", f"{_machine(file)}.")
        for told, names in _told(rows).items():
            yield f"{told}." if len(names) == len(rows) else f"{literal(', '.join(names))}: {told}."


def cells(files: Sequence[ResultFile], only: Sequence[str] | None) -> Iterator[str]:
    """The tables of `grid` without the conditions below them, for pages whose text gives these.

    Raises `ResultError` for an unknown column.
    """
    for file in files:
        columns: dict[str, set[str]] = {}  # including the units
        for figure in (figure for row in file.rows.values() for figure in row.figures):
            columns.setdefault(figure.what, set()).add(figure.shown_unit)
        names = _chosen(file, list(columns), only) if only else list(columns)
        shared = {name: next(iter(columns[name])) for name in names if len(columns[name]) == 1}
        yield from _head(
            literal(file.model), *(literal(", ".join(filter(None, [name, shared.get(name)]))) for name in names)
        )
        for row in file.rows.values():
            numbers = {figure.what: literal(figure.number(figure.what not in shared)) for figure in row.figures}
            if not numbers:
                absent = literal(": ".join(filter(None, ["not measured", row.note])))
                yield _line(literal(row.name), absent, *[""] * (len(names) - 1))
            elif numbers.keys() & set(names):
                yield _line(literal(row.name), *(numbers.get(name, "") for name in names))


def _chosen(file: ResultFile, columns: list[str], only: Sequence[str]) -> list[str]:
    """The columns of a name or of a metric: `decode_rate` stands for all its lengths."""
    chosen: list[str] = []
    for name in only:
        found = [column for column in columns if column == name or column.startswith(f"{name},")]
        if not found:
            raise ResultError(f"{file.path} has no column {name}: choose from {'; '.join(columns)}")
        chosen += found
    return chosen


TABLES = {"promises": promises, "grid": grid, "cells": cells}


def _read(folder: Path, pattern: str) -> list[ResultFile]:
    paths = sorted(folder.glob(pattern))
    if not paths and "*" not in pattern:
        raise ResultError(f"{folder / pattern} is not there: measure it, or take its mark off the page")
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> Iterator[ResultFile]:
    """Read a file: the figures of one machine, or runs. Raises `ResultError`."""
    data = read(path)
    try:
        runs = _runs(data) if isinstance(data, dict) else []
        if not runs:
            yield ResultFile.of(path, data)
        for run in runs:
            yield _of_run(path, run)
    except ResultError:
        raise
    except (AttributeError, FastGLMError, KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path} is broken: {' '.join(str(error).split())}") from error


def _runs(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs in a file of `export`, or of `run --json` and `peers --json`; empty for another file."""
    if isinstance(data.get("run"), dict):
        rows = [{name: row[name] for name in row if name != "run"} for row in data.get("measurements", ())]
        return [data["run"] | {"finished": None, "measurements": rows, "ratios": data.get("ratios", [])}]
    return list(data.get("runs", ()))


def _of_run(path: Path, plain: dict[str, Any]) -> ResultFile:
    """A row for each variant of a run, for each skipped variant, and for each ratio of two."""
    from benchmarks.environment import run_facts
    from benchmarks.exchange.schema import checked

    ratios = plain.pop("ratios", [])
    run = checked(plain)
    settings, facts = run["settings"], run["machine"]
    found: dict[str, list[ClaimedFigure]] = {variant: [] for variant in run["variants"]}
    failed = {name: f"skipped, {reason}" for name, reason in settings.get("skipped", {}).items()}
    for row in run["measurements"]:
        if row["metric"] == "failure":
            failed[row["variant"]] = f"failed, {row['params'].get('error')}"
        else:
            shown = {name: row[name] for name in ("value", "unit", "n", "low", "high")}
            figure = ClaimedFigure(what=_what(row["metric"], row["params"]), **shown)
            found.setdefault(row["variant"], []).append(figure)
    for ratio in ratios:
        figure = times(Estimate(**ratio["estimate"]), _what(ratio["metric"], ratio["params"]))
        found.setdefault(f"{ratio['ours']} over {ratio['peer']}", []).append(figure)
    remarks = "; ".join(str(remark) for remark in run_facts.remarks(run))
    rows = [
        Row(
            name=name,
            figures=found.get(name, []),
            note="; ".join(filter(None, [failed.get(name), remarks if found.get(name) else ""])),
            date=run["started"].isoformat(timespec="minutes"),
            command=run["command"],
            code_version=run["code_version"],
            versions=run["versions"],
            threads=settings.get("threads") or facts.get("threads"),
        )
        for name in dict.fromkeys((*found, *failed))
    ]
    return ResultFile(path, described(facts), {row.name: row for row in rows}, run["model"])


def _what(metric: str, params: Any) -> str:
    return ", ".join(filter(None, [metric, kind(metric, params)]))


def _head(*names: str) -> list[str]:
    return [_line(*names), "|---" * len(names) + "|"]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _name(file: ResultFile) -> str:
    """A machine's short name: the name of its file."""
    return literal(file.path.stem.removeprefix("promises-"))


def _machine(file: ResultFile) -> str:
    """The machine of a file in one line."""
    facts = file.machine
    card = facts.get("gpu") or {}
    said = [
        *(card.get("name"), _size(card.get("memory_total"), "bytes"), card.get("driver")),
        *(facts.get("cpu"), facts.get("simd"), facts.get("cores") and f"{facts['cores']} cores"),
        *(_size(facts.get("memory"), "bytes"), facts.get("os")),
    ]
    bandwidth = _size(card.get("bandwidth"), "bytes/s")
    return ", ".join(literal(str(fact)) for fact in (*said, bandwidth and f"copies at {bandwidth}") if fact)


def _size(value: Any, unit: str) -> str:
    return quantity(value, unit) if value else ""


def _usual(file: ResultFile) -> tuple[str, ...]:
    """Threads and versions that most rows have."""
    return Counter(_with(row) for row in file.rows.values()).most_common(1)[0][0]


def _with(row: Row) -> tuple[str, ...]:
    """Threads and versions."""
    threads = [f"{row.threads} thread{'s' if row.threads > 1 else ''}"] if row.threads else []
    names = [name for name in row.versions if name not in UNTOLD]
    return (*threads, *(f"{name.replace('python', 'Python')} {row.versions[name]}" for name in names))


def _when(row: Row) -> list[str]:
    busy = f"other programs took {row.cpu_busy:.0%}" if row.cpu_busy and row.cpu_busy > BUSY else ""
    return [part for part in (row.date[:10], row.code_version and f"`{row.code_version}`", busy) if part]


def _told(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The conditions of rows, each with the names of its rows."""
    found: dict[str, list[str]] = {}
    for row in rows:
        repeats = sorted({figure.n for figure in row.figures if figure.n > 1})
        n = [f"n {' to '.join(map(str, dict.fromkeys((repeats[0], repeats[-1]))))}"] if repeats else []
        command = [f"`{row.command}`"] if row.command else []
        told = ", ".join([*command, *_when(row), *_with(row), *n])
        found.setdefault("; ".join(filter(None, [told, literal(row.note)])), []).append(row.name)
    return found
