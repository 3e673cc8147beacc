"""The results store: runs, measurements and raw samples in SQLite (WAL) or PostgreSQL."""

import json
import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from sqlalchemy import Connection, Engine, Table, create_engine, event, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from benchmarks.measure.graded_answer import Graded
from benchmarks.measure.measurement import Measurement, Sample, params_text
from benchmarks.store import migrations
from benchmarks.store.run import Run, Status, still_runs
from benchmarks.store.schema import ANSWERS, MEASUREMENTS, RUNS, SAMPLES
from fastglm.errors import FastGLMError
from fastglm.system.home import folder, home, private

BUSY_TIMEOUT = 5.0  # seconds to wait for another writer (SQLite), or for a server to answer (PostgreSQL)
WAITS = (0.5, 1.5, 3.0, 5.0)  # seconds between attempts to reach a server that went away
KEPT_DELETED = timedelta(days=30)
KEYS = {
    RUNS: ("id",),
    MEASUREMENTS: ("run", "variant", "metric", "params"),
    SAMPLES: ("run", "variant", "metric", "params", "repeat"),
    ANSWERS: ("run", "variant", "number"),
}
UPSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

T = TypeVar("T")


class StoreError(FastGLMError):
    """The results database cannot be opened, read or written."""


class Store:
    """A connection to the results. Every method is one transaction and raises `StoreError` with one clear line.

    The first call after a PostgreSQL server went away waits for the server, about ten seconds in all; later calls try
    once.
    """

    def __init__(self, url: str | None = None) -> None:
        """Open `url`, otherwise `FASTGLM_DATABASE_URL`, otherwise `local_url()`; bring its tables to the newest
        version.

        Runs deleted more than 30 days ago are removed for good.
        """
        self.url = url or os.environ.get("FASTGLM_DATABASE_URL") or local_url()
        self._away = True  # no wait for a server that was never reached: the URL may be wrong
        try:
            self.name = make_url(self.url).render_as_string(hide_password=True)
            self._engine = _engine(self.url)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"the results database {self.name} needs {error.name}: pip install {error.name}"
            ) from error
        except (ArgumentError, NoSuchModuleError) as error:
            raise StoreError(
                f"{_one_line(error)}: give a database URL such as sqlite:////folder/results.sqlite"
                " or postgresql://user@host/name"
            ) from error
        if self.work(self._outdated):
            self.work(self._upgrade)
        self.purge()

    def start_run(self, run: Run) -> None:
        """Record that `run` began."""
        row = run.as_dict() | {"started": _utc(run.started), "status": "running", "finished": None, "error": None}
        row |= {"variants": list(run.variants), "suites": list(run.suites), "command": run.command[:4000]}
        self.work(lambda connection: upsert(connection, RUNS, [row | {"deleted": None}]))

    def restart_run(self, run: str) -> None:
        """Record that this process continues a run; failed parts of the run are tried again."""
        again = {"status": "running", "finished": None, "error": None, "pid": os.getpid()}

        def restart(connection: Connection) -> None:
            connection.execute(update(RUNS).where(RUNS.c.id == run).values(**again))
            failed = (MEASUREMENTS.c.run == run) & (MEASUREMENTS.c.metric == "failure")
            connection.execute(MEASUREMENTS.delete().where(failed))

        self.work(restart)

    def note(self, run: str, settings: dict[str, Any]) -> None:
        """Record facts that a run found out about itself, such as the order of its hosts."""
        self.work(lambda connection: connection.execute(update(RUNS).where(RUNS.c.id == run).values(settings=settings)))

    def add(self, measurements: Iterable[Measurement]) -> None:
        """Write measurements, in place of earlier ones of the same run, variant, metric and params."""
        rows = [_columns(measurement) for measurement in measurements]
        self.work(lambda connection: upsert(connection, MEASUREMENTS, rows))

    def add_samples(self, run: str, samples: Iterable[Sample]) -> None:
        """Write raw samples of `run`, in place of earlier ones of the same repeat."""
        rows = [_columns(sample) | {"run": run, "values": list(sample.values)} for sample in samples]
        self.work(lambda connection: upsert(connection, SAMPLES, rows))

    def add_answers(self, run: str, answers: Iterable[Graded]) -> None:
        """Write answers of variants in `run`, in place of earlier ones to the same question."""
        rows = [asdict(answer) | {"run": run} for answer in answers]
        self.work(lambda connection: upsert(connection, ANSWERS, rows))

    def finish(self, run: str, status: Status, error: str | None = None) -> None:
        """Record how `run` ended."""
        ended = {"status": status, "error": error and error[:2000], "finished": _utc(datetime.now(UTC))}
        self.work(lambda connection: connection.execute(update(RUNS).where(RUNS.c.id == run).values(**ended)))

    def runs(self, deleted: bool = False) -> pd.DataFrame:
        """The runs that are not `deleted` (or only the deleted ones), newest first.

        A run whose process ended before the run did is `interrupted`.
        """
        which = RUNS.c.deleted.is_not(None) if deleted else RUNS.c.deleted.is_(None)
        query = select(RUNS).where(which).order_by(RUNS.c.started.desc(), RUNS.c.id.desc())
        table = self.work(lambda connection: _frame(connection, query))
        for name in ("started", "finished", "deleted"):
            table[name] = pd.to_datetime(table[name], utc=True)
        here = platform.node()
        for index, run in table[table["status"] == "running"].iterrows():
            if run["machine"].get("node") == here and not still_runs(run["pid"], run["started"]):
                table.loc[index, "status"] = "interrupted"
        return table

    def measurements(self, run_ids: Sequence[str] | None = None, metric: str | None = None) -> pd.DataFrame:
        """Measurements as tidy rows (`params` as a dict), in order of writing; of some runs or one metric if given."""
        return self._rows(MEASUREMENTS, run_ids, metric)

    def samples(self, run_ids: Sequence[str] | None = None, metric: str | None = None) -> pd.DataFrame:
        """Raw samples, one row per repeat; `values` holds one value, or for `decode_latency` one per token."""
        return self._rows(SAMPLES, run_ids, metric)

    def answers(self, run: str) -> pd.DataFrame:
        """Answers of a run's variants by question; columns as in `benchmarks.measure.graded_answer.Graded`."""
        query = select(ANSWERS).where(ANSWERS.c.run == run).order_by(ANSWERS.c.id)
        rows = self.work(lambda connection: _frame(connection, query)).drop(columns=["id", "run"])
        for name in ("answer", "right"):  # None is an answer too, and must not become pandas' NaN
            rows[name] = rows[name].astype(object).where(rows[name].notna(), None)
        return rows

    def delete(self, run_ids: Sequence[str]) -> None:
        """Put runs away with all their rows, for 30 days; on error no run is put away."""
        self._mark(run_ids, _utc(datetime.now(UTC)))

    def restore(self, run_ids: Sequence[str]) -> None:
        """Bring deleted runs back; on error none."""
        self._mark(run_ids, None)

    def purge(self) -> int:
        """Remove for good the runs deleted more than 30 days ago; return their number."""
        old = RUNS.c.deleted < _utc(datetime.now(UTC) - KEPT_DELETED)

        def remove(connection: Connection) -> int:
            if connection.scalar(select(RUNS.c.id).where(old).limit(1)) is None:
                return 0  # without anything to write, opening a store never waits for another writer
            return connection.execute(RUNS.delete().where(old)).rowcount

        return self.work(remove)

    def close(self) -> None:
        """Close the connections; the store opens them again when it is used."""
        self._engine.dispose()

    def work(self, steps: Callable[[Connection], T]) -> T:
        """Run `steps` in one transaction and return their result; run them again if the server went away meanwhile."""
        waits = iter(() if self._away else WAITS)
        while True:
            try:
                with self._engine.begin() as connection:
                    result = steps(connection)
                self._away = False
                return result
            except SQLAlchemyError as error:
                wait = next(waits, None) if self._went_away(error) else None
                if wait is None:
                    self._away = self._went_away(error)
                    raise StoreError(_explained(error, self.name)) from error
            time.sleep(wait)

    def _went_away(self, error: SQLAlchemyError) -> bool:
        """Tell whether an error means that a server went away. SQLite does not: waiting brings no file back, and its
        locks were waited for already.
        """
        lost = isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated)
        return lost and self._engine.dialect.name != "sqlite"

    def _outdated(self, connection: Connection) -> bool:
        at = migrations.revision(connection)
        if at is not None and at > migrations.HEAD:
            raise StoreError(
                f"the results database {self.name} was written by a newer FAST-ChatGLM (version {int(at)} of its "
                f"tables, this one knows {int(migrations.HEAD)}): update this program, or name another database with "
                "FASTGLM_DATABASE_URL"
            )
        return at != migrations.HEAD

    def _upgrade(self, connection: Connection) -> None:
        migrations.lock(connection)  # two programs may open a new store at once
        if self._outdated(connection):
            migrations.upgrade(connection, migrations.revision(connection))

    def _mark(self, run_ids: Sequence[str], deleted: datetime | None) -> None:
        wanted = list(dict.fromkeys(run_ids))

        def mark(connection: Connection) -> None:
            known = set(connection.scalars(select(RUNS.c.id).where(RUNS.c.id.in_(wanted))))
            if missing := [name for name in wanted if name not in known]:
                raise StoreError(f"there is no run {', '.join(missing)}: see python -m benchmarks list")
            connection.execute(update(RUNS).where(RUNS.c.id.in_(wanted)).values(deleted=deleted))

        self.work(mark)

    def _rows(self, table: Table, run_ids: Sequence[str] | None, metric: str | None) -> pd.DataFrame:
        deleted = select(RUNS.c.id).where(RUNS.c.deleted.is_not(None))
        query = select(table).where(table.c.run.not_in(deleted)).order_by(table.c.id)
        if run_ids is not None:
            query = query.where(table.c.run.in_(list(run_ids)))
        if metric is not None:
            query = query.where(table.c.metric == metric)
        rows = self.work(lambda connection: _frame(connection, query)).drop(columns="id")
        rows["params"] = [json.loads(text) for text in rows["params"]]
        return rows


def local_url() -> str:
    """The database in the home: `results/results.sqlite`."""
    path = folder("results") / "results.sqlite"
    return URL.create("sqlite", database=str(path)).render_as_string()


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows in place of those with the same keys."""
    if not rows:
        return
    statement = UPSERTS[connection.dialect.name](table)
    others = {name: statement.excluded[name] for name in rows[0] if name not in KEYS[table]}
    connection.execute(statement.on_conflict_do_update(index_elements=KEYS[table], set_=others), rows)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind in ("postgres", "postgresql"):
        return _postgresql(parsed)
    if kind != "sqlite":
        raise ArgumentError(f"results are kept in SQLite or PostgreSQL, not in {kind}")
    _create_private(parsed)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        _write_ahead(connection)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _create_private(url: URL) -> None:
    """Create a new SQLite file in the home for its owner alone; SQLite gives the files beside it the same mode.

    An existing file is not opened: closing it would take SQLite's own locks on it from this process.
    """
    if url.database and Path(url.database).is_relative_to(home()):
        with suppress(OSError), open(url.database, "xb", opener=private):  # SQLite gives the reason
            pass


def _write_ahead(connection: Any) -> None:
    """Turn on SQLite's write-ahead log. SQLite's timeout does not apply: the pragma fails at once if another program
    writes.
    """
    until = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.02)


def _postgresql(url: URL) -> Engine:
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    arguments = {
        "connect_timeout": int(BUSY_TIMEOUT),
        "tcp_user_timeout": int(BUSY_TIMEOUT * 1000),  # a server that is switched off closes no connection
    }
    return create_engine(url, connect_args=arguments, pool_pre_ping=True)


def _columns(record: Measurement | Sample) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__} | {"params": params_text(record.params)}


def _frame(connection: Connection, query: Any) -> pd.DataFrame:
    found = connection.execute(query)
    return pd.DataFrame([tuple(row) for row in found], columns=list(found.keys()))


def _utc(time_: datetime) -> datetime:
    """Time as stored: UTC without a zone."""
    return time_.astimezone(UTC).replace(tzinfo=None)


def _explained(error: SQLAlchemyError, name: str) -> str:
    said = _one_line(error)
    if "database is locked" in said:
        return (
            f"the results database {name} is locked by another program: close that program, "
            "or name another database with FASTGLM_DATABASE_URL"
        )
    advice = "repair or move it away" if name.startswith("sqlite") else "see that its server runs and lets you in"
    return (
        f"the results database {name} cannot be used ({said}): {advice}, or name another one with FASTGLM_DATABASE_URL"
    )


def _one_line(error: Exception) -> str:
    """The driver's own message, without SQLAlchemy's statement and link."""
    return " ".join(str(getattr(error, "orig", None) or error).splitlines()[0].split())
