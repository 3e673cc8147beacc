"""Files of figures: written, read back, and refused in one line if broken or of another machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.exchange.result_file import FORMAT, VERSION, ResultError, ResultFile, Row, described, read
from benchmarks.measure.bounds import ClaimedFigure
from fastglm.errors import UsageError

FACTS = {"node": "secret", "cpu": "A", "memory": 8, "device": {"kind": "cpu", "simd": "AVX2", "bandwidth": 7}}
ROW: dict[str, Any] = {"name": "a", "figures": [{"value": 1.0}], "date": "2026-11-22"}


def _written(path: Path, *rows: Any, **changes: Any) -> Path:
    data = {"format": FORMAT, "version": VERSION, "machine": {"cpu": "A"}, "rows": list(rows)} | changes
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    row = Row.now(
        "a", [ClaimedFigure(1.5, "×", "int8", 5, 1.4, 1.6, least=1.2)], "is fast", cpu_busy=0.01, note="quiet"
    )
    ResultFile.open(path, FACTS).put(row)
    again = ResultFile.open(path, FACTS)
    assert again.rows == {"a": row}
    assert again.machine == {"cpu": "A", "memory": 8, "simd": "AVX2"}  # and not its name


def test_a_gpu_is_described() -> None:
    card = {"kind": "cuda", "name": "H200"}
    assert described({"cpu": "A", "device": card})["gpu"] == card


@pytest.mark.parametrize(
    "facts", [FACTS | {"cpu": "B"}, FACTS | {"device": {"kind": "cuda", "name": "H200"}}, FACTS | {"device": None}]
)
def test_a_file_of_another_machine_is_left_alone(tmp_path: Path, facts: dict[str, Any]) -> None:
    path = tmp_path / "old.json"
    ResultFile.open(path, FACTS).put(Row("a", [ClaimedFigure(1)]))
    before = path.read_text()
    with pytest.raises(UsageError, match="is of another machine"):
        ResultFile.open(path, facts)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        ([ROW], {"format": "other"}, "is not a file of figures"),
        ([ROW], {"version": 2}, "is not a file of figures"),
        ([ROW], {"machine": None}, "lacks its machine or its rows"),
        ([], {}, "lacks its machine or its rows"),
        ([3], {}, "row 1 is broken"),
        ([ROW, {"name": "b"}], {}, "row 2 is broken: 'figures'"),
        ([ROW, ROW], {}, "row 2: a is there twice"),
        ([ROW | {"name": ""}], {}, "row 1 is broken: a row needs a name"),
        ([ROW | {"speed": 1}], {}, "row 1 is broken: .*'speed'"),
        ([ROW | {"date": "yesterday"}], {}, "row 1 is broken: Invalid isoformat"),
        ([ROW | {"figures": [{"value": "fast"}]}], {}, "row 1 is broken: value is no finite number"),
        ([ROW | {"figures": [{"value": float("nan")}]}], {}, "row 1 is broken: value is no finite number"),
        ([ROW | {"figures": [{"value": 1, "low": 2, "high": 1}]}], {}, r"not form an interval \(2, 1\)"),
        ([ROW | {"figures": [{"value": 1, "low": 2}]}], {}, r"not form an interval \(2, None\)"),
        ([ROW | {"figures": [{"value": 1, "unit": 3}]}], {}, "unit and what are texts"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, rows: list[Any], changes: dict[str, Any], said: str) -> None:
    path = _written(tmp_path / "broken.json", *rows, **changes)
    with pytest.raises(ResultError, match=said) as error:
        ResultFile.of(path, read(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ('{"format": ', "is broken"), ("\0", "is broken")]
)
def test_a_file_without_json_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "broken.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ResultError, match=said):
        read(path)
