"""The file formats of results: JSON with everything, written and read; CSV and Parquet with one row per measurement,
written only.

JSON: {"format": "fastglm-results", "version": 2, "runs": [{…, "measurements": […], "samples": […], "answers": […]}]}.
CSV and Parquet, for other programs: `COLUMNS`; `machine`, `suites` and `params` are JSON texts, and `run_rows` is the
number of the run's rows. Files are written and read run by run, so a file may be larger than memory.
"""

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from os import SEEK_END
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.exchange import bounded
from benchmarks.exchange.bounded import JSONError
from benchmarks.exchange.schema import FORMAT, VERSION, ExchangeError
from benchmarks.measure.measurement import params_text
from fastglm.system.files import open_regular

ROW_GROUP = 20_000  # rows of a Parquet file that are in memory at once
MOST_BYTES = 1 << 30  # of a JSON file
MOST_RUNS = 10_000  # of it
MOST_PARTS = 2_000_000  # parts (numbers, texts, lists …) of a run in a JSON file, because a run is in memory whole
MOST_HEAD = 1_000  # parts of anything else in it
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # first letters that turn a CSV cell into a formula

Data = dict[str, Any]
Found = tuple[str, Data]  # the place of a run in its file, and the run

_TEXT, _TIME = pa.string(), pa.timestamp("us", tz="UTC")
_OF_RUN = {"started": _TIME, "finished": _TIME, "status": _TEXT, "suites": _TEXT, "machine": _TEXT}
_OF_RUN |= {"code_version": _TEXT, "model": _TEXT}
_OF_ROW = {"variant": _TEXT, "device": _TEXT, "metric": _TEXT, "params": _TEXT, "value": pa.float64(), "unit": _TEXT}
_OF_ROW |= {"n": pa.int64(), "low": pa.float64(), "high": pa.float64()}
SCHEMA = pa.schema(
    {"run": _TEXT, **_OF_RUN, **_OF_ROW, "run_rows": pa.int64()},
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
                writer.writerow({name: _no_formula(value) for name, value in (row | times).items()})


def write_parquet(path: Path, runs: Iterable[Data]) -> None:
    """Write the measurements of runs."""
    rows = (row for run in runs for row in _tidy(run))
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


def read_json(path: Path) -> Iterator[Found]:
    """Read the runs of a file. Raises `ExchangeError` for another format, a newer version, and content beyond the
    bounds.
    """
    place = ""
    try:
        with open_regular(path) as file:
            if file.seek(0, SEEK_END) > MOST_BYTES:
                raise ExchangeError(f"it is larger than {MOST_BYTES >> 20} MB: export some of its runs at a time")
            file.seek(0)
            for place, found in _runs(bounded.events(file)):
                yield place, found
    except JSONError as error:
        number = int(place.removeprefix("run ") or 0) + 1
        raise ExchangeError(f"run {number}: {error}") from error


def _runs(parts: Iterator[bounded.Event]) -> Iterator[Found]:
    head: Data = {}
    if next(parts, None) != ("start_map", None):
        _check_head(head)
    for kind, name in parts:
        if kind == "end_map":
            break
        first = next(parts)
        if name == "runs":
            _check_head(head)
            if first[0] != "start_array":
                raise ExchangeError("its runs are not a list")
            for number, item in enumerate(iter(lambda: next(parts), ("end_array", None)), 1):
                if number > MOST_RUNS:
                    raise ExchangeError(f"it has more than {MOST_RUNS:,} runs: export some of them at a time")
                yield f"run {number}", bounded.build(item, parts, MOST_PARTS)
        else:
            head[name] = bounded.build(first, parts, MOST_HEAD)
    for _ in parts:  # anything after the end is an error
        pass
    _check_head(head)  # also without any runs


WRITERS: dict[str, Callable[[Path, Iterable[Data]], None]] = {
    ".json": write_json,
    ".csv": write_csv,
    ".parquet": write_parquet,
}


def _check_head(head: Data) -> None:
    form, version = head.get("format"), head.get("version")
    if form != FORMAT or type(version) is not int:
        raise ExchangeError(f"it is not a file of results: it does not begin with the format {FORMAT} and a version")
    if version > VERSION:
        raise ExchangeError(
            f"it was written by a newer FAST-ChatGLM (version {version} of the format, this one knows {VERSION}): "
            "update this program"
        )


def _no_formula(value: Any) -> Any:
    """A cell that spreadsheets treat as text: names come from strangers' files, and a formula could load something."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _tidy(run: Data) -> Iterator[Data]:
    of_run = {name: run[name] for name in _OF_RUN}
    of_run |= {name: json.dumps(run[name], ensure_ascii=False) for name in ("suites", "machine")}
    for row in run["measurements"]:
        of_row = {name: row[name] for name in _OF_ROW} | {"params": params_text(row["params"])}
        yield {"run": run["id"], **of_run, **of_row, "run_rows": len(run["measurements"])}
