"""The file formats that results travel in: JSON with everything, CSV and Parquet with one row a measurement.

JSON: {"format": "fastglm-results", "version": 2, "runs": [{…, "measurements": […], "samples": […], "answers": […]}]}.
CSV and Parquet: `COLUMNS`; `machine`, `suites` and `params` are JSON texts, and `run_rows`, how many rows the run has,
tells a file that was cut off. All are written and read run by run, so that a file may be larger than the memory.
"""

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import ijson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.exchanged import FORMAT, VERSION, ExchangeError, instant
from benchmarks.measurement import params_text

ROW_GROUP = 20_000  # rows of a Parquet file that are in memory at once
MOST_ROWS = 500_000  # of a run in a table, and
MOST_PARTS = 5_000_000  # numbers, texts, lists … of a run in a JSON file: a run is in memory whole
DEPTH = 20  # of objects and lists inside a run of a JSON file

Data = dict[str, Any]
Found = tuple[str, Data]  # where in the file a run is, and the run

_TEXT, _TIME = pa.string(), pa.timestamp("us", tz="UTC")
_OF_RUN = {"started": _TIME, "finished": _TIME, "status": _TEXT, "suites": _TEXT, "machine": _TEXT}
_OF_RUN |= {"code_version": _TEXT, "model": _TEXT}
_OF_ROW = {"variant": _TEXT, "device": _TEXT, "metric": _TEXT, "params": _TEXT, "value": pa.float64(), "unit": _TEXT}
_OF_ROW |= {"n": pa.int64(), "low": pa.float64(), "high": pa.float64()}
SCHEMA = pa.schema(
    {"run": _TEXT, **_OF_RUN, **_OF_ROW, "run_rows": pa.int64()},  # run_rows last: a line cut off there does not fit
    metadata={"format": FORMAT, "version": str(VERSION)},
)
COLUMNS = tuple(SCHEMA.names)


def write_json(path: Path, runs: Iterable[Data]) -> None:
    """Write runs with all their rows."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"format": "{FORMAT}", "version": {VERSION}, "runs": [')
        for number, run in enumerate(runs):
            file.write(",\n" if number else "\n")
            file.write(json.dumps(run, ensure_ascii=False, allow_nan=False, default=datetime.isoformat))
        file.write("\n]}\n")


def write_csv(path: Path, runs: Iterable[Data]) -> None:
    """Write the measurements of runs."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for run in runs:
            for row in _tidy(run):
                times = {name: row[name] and row[name].isoformat() for name in ("started", "finished")}
                writer.writerow(row | times)


def write_parquet(path: Path, runs: Iterable[Data]) -> None:
    """Write the measurements of runs."""
    rows = (row for run in runs for row in _tidy(run))
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


def read_json(path: Path) -> Iterator[Found]:
    """The runs of a file. Raises `ExchangeError` for another format, a newer version, and where the text breaks off."""
    head: Data = {}
    number = 1
    depth = parts = 0
    builder = ijson.ObjectBuilder()
    try:
        with path.open("rb") as file:
            for prefix, event, value in ijson.parse(file, use_float=True):
                if prefix in ("format", "version"):
                    head[prefix] = value
                if prefix == "" and event == "map_key" and value == "runs":
                    _check_head(head.get("format"), head.get("version"))
                if prefix == "runs" and event not in ("start_array", "end_array"):
                    raise ExchangeError("its runs are not a list")
                if not prefix.startswith("runs.item"):
                    continue
                depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
                parts += 1
                if depth > DEPTH:
                    raise ExchangeError(f"run {number}: it is nested more than {DEPTH} deep")
                if parts > MOST_PARTS:
                    raise ExchangeError(f"run {number}: it has more than {MOST_PARTS:,} numbers and texts")
                builder.event(event, value)
                if depth == 0:
                    yield f"run {number}", builder.value
                    number, parts, builder = number + 1, 0, ijson.ObjectBuilder()
    except (ijson.JSONError, UnicodeDecodeError) as error:
        said = " ".join(str(error).splitlines()[0].split())
        raise ExchangeError(f"run {number}: the JSON is broken or cut off ({said})") from error
    _check_head(head.get("format"), head.get("version"))  # also where there were no runs


def read_csv(path: Path) -> Iterator[Found]:
    """The runs of a file. Raises `ExchangeError` for other columns, and for runs whose rows are not all there."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            _check_columns(next(reader, []))
            yield from _assembled(_csv_rows(reader), "line")
        except (csv.Error, UnicodeDecodeError) as error:
            raise ExchangeError(f"line {reader.line_num + 1}: the CSV is broken or cut off ({error})") from error


def read_parquet(path: Path) -> Iterator[Found]:
    """The runs of a file. Raises `ExchangeError` for other columns, a newer version, and a broken file."""
    try:
        with pq.ParquetFile(path) as file:
            said = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
            if "format" in said:
                _check_head(said["format"], int(said["version"]) if said.get("version", "").isdecimal() else None)
            _check_columns(file.schema_arrow.names)
            batches = (batch.to_pylist() for batch in file.iter_batches(ROW_GROUP))
            yield from _assembled(enumerate(itertools.chain.from_iterable(batches), 1), "row")
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ExchangeError(f"the Parquet is broken or cut off ({str(error).splitlines()[0]})") from error


WRITERS: dict[str, Callable[[Path, Iterable[Data]], None]] = {
    ".json": write_json,
    ".csv": write_csv,
    ".parquet": write_parquet,
}
READERS: dict[str, Callable[[Path], Iterator[Found]]] = {
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def _check_head(form: object, version: object) -> None:
    if form != FORMAT or not isinstance(version, int):
        raise ExchangeError(f"it is not a file of results: it does not begin with the format {FORMAT} and a version")
    if version > VERSION:
        raise ExchangeError(
            f"it was written by a newer FAST-ChatGLM (version {version} of the format, this one knows {VERSION}): "
            "update this program"
        )


def _check_columns(names: list[str]) -> None:
    if sorted(names) != sorted(COLUMNS):
        wrong = [f"lacks {name}" for name in COLUMNS if name not in names] or ["has others or has one twice"]
        raise ExchangeError(f"its columns are not those of exported results ({wrong[0]}): {', '.join(COLUMNS)}")


def _tidy(run: Data) -> Iterator[Data]:
    of_run = {name: run[name] for name in _OF_RUN}
    of_run |= {name: json.dumps(run[name], ensure_ascii=False) for name in ("suites", "machine")}
    for row in run["measurements"]:
        of_row = {name: row[name] for name in _OF_ROW} | {"params": params_text(row["params"])}
        yield {"run": run["id"], **of_run, **of_row, "run_rows": len(run["measurements"])}


def _csv_rows(reader: Any) -> Iterator[tuple[int, Data]]:
    """Line numbers and rows, with numbers and times read."""
    for cells in reader:
        if len(cells) != len(COLUMNS):
            raise ExchangeError(f"line {reader.line_num}: {len(cells)} cells in place of {len(COLUMNS)}: it is cut off")
        row: Data = dict(zip(COLUMNS, cells, strict=True))
        try:
            row |= {name: _read(row[name], float) for name in ("value", "low", "high")}
            row |= {name: _read(row[name], int) for name in ("n", "run_rows")}
            row |= {name: _read(row[name], instant) for name in ("started", "finished")}
        except ValueError as error:
            raise ExchangeError(f"line {reader.line_num}: {error}") from None
        yield reader.line_num, row


def _read(text: str, kind: Callable[[str], Any]) -> Any:
    return kind(text) if text else None


def _assembled(rows: Iterable[tuple[int, Data]], unit: str) -> Iterator[Found]:
    """Runs out of their rows, which stand together."""
    for _, group in itertools.groupby(rows, key=lambda row: row[1]["run"]):
        numbered = list(itertools.islice(group, MOST_ROWS + 1))
        first, run = numbered[0]
        if len(numbered) > MOST_ROWS:
            raise ExchangeError(f"{unit} {first}: run {run['run']} has more than {MOST_ROWS:,} rows")
        last = numbered[-1][0]
        place = f"{unit}s {first} to {last}"
        shared = ("run", "run_rows", *_OF_RUN)
        for number, row in numbered:
            if any(row[name] != run[name] for name in shared):
                raise ExchangeError(f"{unit} {number}: run {run['run']} is told otherwise than in {unit} {first}")
        if run["run_rows"] != len(numbered):
            raise ExchangeError(
                f"{place}: run {run['run']} has {len(numbered)} rows here in place of {run['run_rows']}: "
                "the file is cut off, or its rows were sorted or left out"
            )
        try:
            of_run = {name: run[name] for name in _OF_RUN} | {"id": run["run"]}
            of_run |= {name: json.loads(run[name]) for name in ("suites", "machine")}
            measured = [
                {name: row[name] for name in (*_OF_ROW, "model")} | {"params": json.loads(row["params"])}
                for _, row in numbered
            ]
        except (TypeError, ValueError, RecursionError) as error:
            raise ExchangeError(f"{place}: suites, machine or params are no JSON ({error})") from error
        yield place, of_run | {"measurements": measured}
