"""Results from one machine to another: export to a file, and import that merges without duplicates."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from benchmarks.exchange.formats import WRITERS, Data, read_json
from benchmarks.exchange.schema import OWN, ExchangeError, checked
from benchmarks.measure.measurement import params_text
from benchmarks.store.schema import ANSWERS, MEASUREMENTS, RUNS, SAMPLES
from benchmarks.store.store import Store
from fastglm.errors import UsageError
from fastglm.system.files import replacing

ROWS = (MEASUREMENTS, SAMPLES, ANSWERS)  # fields of a run


@dataclass
class Imported:
    """The ids of the runs in a file, by outcome."""

    new: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)  # the store had an unfinished state of the run
    known: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # the store keeps its other numbers under this id

    def __str__(self) -> str:
        return ", ".join(f"{len(ids)} {name}" for name, ids in vars(self).items())


def export_runs(store: Store, path: Path, run_ids: Sequence[str] | None = None) -> int:
    """Write all runs, oldest first, or those of `run_ids`, to a .json, .csv or .parquet file; return their number.

    The file is written completely or not at all.

    Raises:
        UsageError: another suffix, or an unknown run.
        ExchangeError: the file cannot be written.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"{path} says no format: name a file that ends in {', '.join(WRITERS)}")
    known = store.runs()["id"].tolist()[::-1]
    if missing := [name for name in run_ids or () if name not in known]:
        raise UsageError(f"there is no run {', '.join(missing)}: see python -m benchmarks list")
    wanted = known if run_ids is None else list(dict.fromkeys(run_ids))
    try:
        with replacing(path) as partial:
            write(partial, _stored(store, wanted))
    except OSError as error:
        reason = error.strerror or error
        raise ExchangeError(f"{path} could not be written ({reason}): make room or name another file") from error
    except ValueError as error:
        raise ExchangeError(f"{path} could not be written: a run has a number that is not finite") from error
    return len(wanted)


def import_runs(store: Store, path: Path) -> Imported:
    """Merge the runs of a .json file into the store: all of them, or none if one is wrong.

    A run that the store already has stays as it is, unless the file's is finished and the store's is not; then the
    file's replaces it.

    Raises:
        UsageError: another suffix.
        ExchangeError: a run is wrong; the message names the place.
    """
    if path.suffix.lower() != ".json":
        raise UsageError(f"{path} cannot be imported: results are read from JSON; export them as .json")
    try:
        for _ in _records(path):  # checked before the store is locked
            pass
        return store.work(lambda connection: _merge_all(connection, path))
    except ExchangeError as error:
        raise ExchangeError(f"{path}: {error}; nothing was imported") from error
    except OSError as error:
        raise ExchangeError(f"{path} cannot be read ({error.strerror or error})") from error


def _records(path: Path) -> Iterator[Data]:
    for place, data in read_json(path):
        try:
            yield checked(data)
        except ExchangeError as error:
            name = data.get("id") if isinstance(data, dict) else None
            raise ExchangeError(f"{place}{f' ({name[:40]})' if isinstance(name, str) else ''}: {error}") from error


def _merge_all(connection: Connection, path: Path) -> Imported:
    done = Imported()
    for run in _records(path):
        getattr(done, _merge(connection, run)).append(run["id"])
    return done


def _stored(store: Store, run_ids: Sequence[str]) -> Iterator[Data]:
    for name in run_ids:
        run = store.work(lambda connection, name=name: _read(connection, name))  # type: ignore[misc]
        if run is not None:  # deleted for good meanwhile
            yield {key: value for key, value in run.items() if key != "deleted"}


def _read(connection: Connection, name: str) -> Data | None:
    """Read a run with all its rows, as files carry it."""
    run = connection.execute(select(RUNS).where(RUNS.c.id == name)).mappings().one_or_none()
    if run is None:
        return None
    plain = {key: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for key, value in run.items()}
    for table in ROWS:
        rows = connection.execute(select(table).where(table.c.run == name).order_by(table.c.id)).mappings()
        plain[table.name] = [_own_left_out(row) for row in rows]
    return plain


def _own_left_out(row: Any) -> Data:
    plain = {key: value for key, value in row.items() if key not in OWN}
    return plain | {"params": json.loads(plain["params"])} if "params" in plain else plain


def _merge(connection: Connection, run: Data) -> str:
    """Merge one run; return the outcome, a name of `Imported`."""
    there, its = _read(connection, run["id"]), RUNS.c.id == run["id"]
    if there is None:
        variants = run["variants"] or list(dict.fromkeys(row["variant"] for row in run["measurements"]))
        connection.execute(insert(RUNS), _run_row(run) | {"variants": variants})
        _write_rows(connection, run)
        return "new"
    outcome = _compared(run, there)
    if outcome == "completed":
        connection.execute(update(RUNS).where(its).values(_run_row(run)))
        _write_rows(connection, run)
    if there["deleted"] and outcome != "refused":
        connection.execute(update(RUNS).where(its).values(deleted=None))
        return "new"
    return outcome


def _compared(run: Data, there: Data) -> str:
    """Compare the store's run with the file's."""
    if all(_alike(value, there[name]) for name, value in run.items()):
        return "known"
    if there["finished"] is None:
        return "refused" if run["finished"] is None else "completed"
    return "known" if run["finished"] is None else "refused"  # known: the file has an earlier state of the run


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, list) and one and isinstance(one[0], dict):  # rows in any order
        return sorted(one, key=_row_key) == sorted(other, key=_row_key)
    return bool(one == other)


def _row_key(row: Data) -> tuple[Any, ...]:
    return row["variant"], row.get("metric"), params_text(row.get("params", {})), row.get("repeat"), row.get("number")


def _run_row(given: Data) -> Data:
    row = {key: value for key, value in given.items() if key not in {table.name for table in ROWS}}
    for name in ("started", "finished"):
        row[name] = row[name] and row[name].replace(tzinfo=None)
    return row


def _write_rows(connection: Connection, run: Data) -> None:
    for table in ROWS:
        connection.execute(delete(table).where(table.c.run == run["id"]))
        if rows := run[table.name]:
            connection.execute(insert(table), [_keyed(row, run["id"]) for row in rows])


def _keyed(row: Data, run: str) -> Data:
    """A row as the store keeps it."""
    return row | {"run": run} | ({"params": params_text(row["params"])} if "params" in row else {})
