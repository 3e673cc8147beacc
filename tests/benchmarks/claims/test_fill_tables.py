"""The tables of the pages match the committed results; wrong marks and files are reported in one line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measured import measure

from benchmarks import files
from benchmarks.claims import claims, fill_tables
from benchmarks.claims.claims import Promise
from benchmarks.claims.fill_tables import PAGES, RESULTS, ROOT, filled
from benchmarks.cli.commands import main
from benchmarks.exchange.exchange import export_runs
from benchmarks.exchange.result_file import ResultError, ResultFile, Row
from benchmarks.measure.bounds import ClaimedFigure
from benchmarks.store.store import Store
from fastglm.errors import FastGLMError

FACTS = {"cpu": "A|B", "cores": 4, "memory": 8 * 10**9, "device": {"kind": "cpu", "simd": "AVX2"}}
LATER: dict[str, Any] = {"date": "2026-11-23T07:00+00:00", "code_version": "abc", "versions": {"torch": "2.13"}}
EARLIER: dict[str, Any] = {"date": "2026-11-22", "versions": {"torch": "2.12", "numpy": "2"}, "cpu_busy": 0.5}


def _table(folder: Path, mark: str) -> list[str]:
    """The lines that a mark is filled with."""
    page = filled(f"before\n<!-- figures: {mark} -->\n| old |\n<!-- end -->\nafter", folder)
    assert page == filled(page, folder)  # the same row again
    lines = page.splitlines()
    assert lines[:3] == ["before", f"<!-- figures: {mark} -->", ""]
    assert lines[-3:] == ["", "<!-- end -->", "after"]
    return lines[3:-3]


def _measured(path: Path, *rows: Row, **facts: Any) -> None:
    file = ResultFile.open(path, FACTS | facts)
    for row in rows:
        file.put(row)


@pytest.fixture
def promised(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {name: Promise(f"is {name}", lambda _: []) for name in ("fast", "small", "exact", "right")}
    monkeypatch.setattr(claims, "PROMISES", made)


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_are_what_the_results_give(name: str) -> None:
    """`python -m benchmarks fill` makes them match."""
    page = (ROOT / name).read_text(encoding="utf-8")
    assert "<!-- figures: " in page
    assert filled(page, RESULTS) == page


def test_every_result_is_on_a_page() -> None:
    marks = [mark for name in PAGES for mark in fill_tables.MARKED.findall((ROOT / name).read_text(encoding="utf-8"))]
    shown = {path for mark, _ in marks for path in RESULTS.glob(fill_tables.MARK.fullmatch(mark)[2])}  # type: ignore[index]
    assert shown == set(RESULTS.iterdir())


def test_a_page_is_filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(fill_tables, "ROOT", tmp_path)
    monkeypatch.setattr(fill_tables, "PAGES", ["page.md"])
    (tmp_path / "page.md").write_text("<!-- figures: grid none-*.json -->\n<!-- end -->\n", encoding="utf-8")
    assert main(["fill"]) == main(["fill"]) == 0
    assert capsys.readouterr().out == "page.md: filled anew\npage.md: as it was\n"
    assert "Not measured yet." in (tmp_path / "page.md").read_text()


@pytest.mark.usefixtures("promised")
def test_promises_say_where_each_was_measured_and_what_is_not(tmp_path: Path) -> None:
    old = Row("fast", [ClaimedFigure(2.5, "×", "", 5, 2.4, 2.6, least=3)], "is fast", "noisy", **EARLIER)
    new = Row("small", [ClaimedFigure(2e9, "bytes", most=3e9)], "is small", threads=2, **LATER)
    other = replace(new, name="exact", figures=[ClaimedFigure(0, most=0)], promised="is exact")
    _measured(tmp_path / "promises-one.json", old, new, other)
    _measured(tmp_path / "promises-two.json", Row("fast", [ClaimedFigure(4, "×")], "is fast", **LATER), cpu="C")
    assert _table(tmp_path, "promises promises-*.json") == [
        "| name | promised | measured |  | measured on |",
        "|---|---|---|---|---|",
        "| `fast` | is fast | 2.5 × (2.4 – 2.6), n 5; noisy | **missed** | "
        "one, 2026-11-22, other programs took 50%, torch 2.12 |",
        "|  |  | 4 × | open: promised for other machines | two, 2026-11-23, `abc` |",
        "| `small` | is small | 2 GB | kept | one, 2026-11-23, `abc` |",
        "| `exact` | is exact | 0 | kept | one, 2026-11-23, `abc` |",
        "| `right` | is right |  | not measured |  |",
        "",
        r"one: A\|B, AVX2, 4 cores, 8 GB; 2 threads, torch 2.13.",
        "",
        "two: C, AVX2, 4 cores, 8 GB; torch 2.13.",
    ]
    assert len(_table(tmp_path, "promises promises-two.json only fast; right")) == 6
    assert all("not measured" in line for line in _table(tmp_path, "promises nothing-*.json")[2:])


@pytest.mark.usefixtures("promised")
@pytest.mark.parametrize(("name", "text"), [("fast", "was faster"), ("cheap", "is cheap")])
def test_a_figure_of_another_promise_is_refused(tmp_path: Path, name: str, text: str) -> None:
    _measured(tmp_path / "promises.json", Row(name, [ClaimedFigure(2.5)], text))
    with pytest.raises(ResultError, match=f"promises.json: {name} was measured for “{text}”, promised is"):
        _table(tmp_path, "promises promises.json")


def test_a_grid_has_a_column_for_each_thing_and_says_how_it_was_measured(tmp_path: Path) -> None:
    of = {"command": "python -m benchmarks products", **LATER}
    _measured(
        tmp_path / "grid.json",
        Row("int8", [ClaimedFigure(1.5, "×", "1 rows", 7, 1.4, 1.6), ClaimedFigure(2e9, "bytes", "memory")], **of),
        Row(
            "int4",
            [
                ClaimedFigure(2, "×", "1 rows", 7),
                ClaimedFigure(3e6, "bytes", "memory"),
                ClaimedFigure(9, what="2 rows"),
            ],
            **of,
        ),
        Row("old", [ClaimedFigure(3, "×", "1 rows")], note="by hand", **EARLIER),
        Row("nf4", [], note="no such package"),
    )
    table = [
        "|  | 1 rows, × | memory | 2 rows |",
        "|---|---|---|---|",
        "| int8 | 1.5 (1.4 – 1.6) | 2 GB |  |",
        "| int4 | 2 | 3 MB | 9 |",
        "| old | 3 |  |  |",
        "| nf4 | not measured: no such package |  |  |",
    ]
    how = [
        "",
        r"A\|B, AVX2, 4 cores, 8 GB.",
        "int8, int4: `python -m benchmarks products`, 2026-11-23, `abc`, torch 2.13, n 7.",
        "old: 2026-11-22, other programs took 50%, torch 2.12; by hand.",
    ]
    assert _table(tmp_path, "grid grid.json") == table + how
    assert _table(tmp_path, "cells grid.json") == table
    assert _table(tmp_path, "cells grid.json only 2 rows")[2:] == ["| int4 | 9 |", table[-1].replace(" |  |  |", " |")]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three variants; one of them could not be measured."""
    folder = tmp_path_factory.mktemp("exported")
    store = Store(f"sqlite:///{folder / 'results.sqlite'}")
    measure(store, ("original", "int4", "fast"), repeats=5, failing={"fast": "no memory"})
    export_runs(store, folder / "run.json")
    return folder / "run.json"


def test_runs_of_the_store_are_tables_too(exported: Path) -> None:
    lines = _table(exported.parent, "grid run.json only decode_rate; weights_memory")
    assert lines[0] == "| demo | decode\\_rate, 32 in, 16 out, tokens/s | weights\\_memory, MB |"
    assert lines[2].startswith("| original | ")
    assert lines[3].endswith(" | 4 |")
    assert lines[4] == "| fast | not measured: failed, no memory |  |"
    assert lines[6] == "A GPU, A processor, 8 GB."
    assert lines[7].startswith("`python -m benchmarks run`, 20")
    assert lines[7].endswith(", `abc`, torch 2.11, n 5.")


def test_the_json_of_a_run_is_a_table_with_its_ratios(exported: Path, tmp_path: Path) -> None:
    (run,) = json.loads(exported.read_text())["runs"]
    rows = [row | {"run": run["id"]} for row in run.pop("measurements")]
    run = {name: run[name] for name in run if name not in ("finished", "error", "samples", "answers")}
    run["settings"] |= {"skipped": {"other": "not installed"}}
    estimate = {"value": 4.0, "n": 5, "low": 3.5, "high": 4.5}
    ratio = {
        "ours": "int4",
        "peer": "original",
        "metric": "ttft",
        "params": {"prompt_tokens": 32},
        "estimate": estimate,
    }
    data = {"run": run, "measurements": rows, "samples": [], "answers": [], "ratios": [ratio | {"estimate": estimate}]}
    files.write_data(tmp_path / "run.json", data)
    lines = _table(tmp_path, "cells run.json only ttft, 32 in")
    names = [line.split(" | ")[0] for line in lines[2:]]
    assert names == ["| original", "| int4", "| fast", "| int4 over original", "| other"]
    assert lines[5].endswith(" 4 (3.5 – 4.5) |")
    assert lines[6].endswith("not measured: skipped, not installed |  |")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!-- figures: grid a.json -->\n| 1 |", "has no <!-- end --> of its own"),
        (
            "<!-- figures: grid a.json -->\n<!-- figures: grid a.json -->\n<!-- end -->",
            "has no <!-- end --> of its own",
        ),
        ("<!-- end -->", "has no <!-- end --> of its own"),
        (
            "<!-- figures: chart a.json -->\n<!-- end -->",
            "is not a table: write one of promises, grid, cells and a file",
        ),
        ("<!-- figures: grid -->\n<!-- end -->", "is not a table"),
        ("<!-- figures: grid none.json -->\n<!-- end -->", "none.json is not there: measure it"),
        ("<!-- figures: grid a.json only speed -->\n<!-- end -->", "a.json has no column speed: choose from 1 rows"),
        ("<!-- figures: grid broken.json -->\n<!-- end -->", "broken.json is broken"),
        ("<!-- figures: grid list.json -->\n<!-- end -->", "list.json is not a file of figures"),
        ("<!-- figures: grid half.json -->\n<!-- end -->", "half.json is broken: status: Field required"),
        ("<!-- figures: grid odd.json -->\n<!-- end -->", "odd.json is broken"),
    ],
)
def test_wrong_marks_and_files_are_told_in_a_line(tmp_path: Path, page: str, said: str) -> None:
    _measured(tmp_path / "a.json", Row("int8", [ClaimedFigure(1.5, "×", "1 rows")]))
    (tmp_path / "broken.json").write_text('{"format": "fastglm-figures", ')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "half.json").write_text('{"runs": [{"id": "a", "started": "2026-11-22T00:00Z", "finished": null}]}')
    (tmp_path / "odd.json").write_text('{"runs": [3]}')
    with pytest.raises(FastGLMError, match=said) as error:
        filled(page, tmp_path)
    assert "\n" not in str(error.value)
