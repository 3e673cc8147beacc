"""The results store: runs, measurements and raw samples in SQLite (WAL), or any database SQLAlchemy reaches."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from sqlalchemy import (
    JSON,
    DateTime,
    ForeignKey,
    String,
    UniqueConstraint,
    create_engine,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.measurement import Measurement, Sample, params_text
from benchmarks.run import Run, Status, still_runs
from fastglm.errors import FastGLMError
from fastglm.home import folder

SCHEMA = 1
BUSY_TIMEOUT = 5.0  # seconds to wait for another writer


class StoreError(FastGLMError):
    """The results database cannot be opened, read or written."""


class Base(DeclarativeBase):
    """Tables of the store."""


class SchemaRow(Base):
    """The version of these tables, one row."""

    __tablename__ = "fastglm_schema"
    version: Mapped[int] = mapped_column(primary_key=True)


class RunRow(Base):
    """One benchmark execution."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    started: Mapped[datetime] = mapped_column(DateTime)  # UTC
    finished: Mapped[datetime | None] = mapped_column(DateTime)
    status: Mapped[str] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(String(2000))
    command: Mapped[str] = mapped_column(String(4000))
    model: Mapped[str] = mapped_column(String(1000))
    variants: Mapped[list[str]] = mapped_column(JSON)
    suites: Mapped[list[str]] = mapped_column(JSON)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    machine: Mapped[dict[str, Any]] = mapped_column(JSON)
    versions: Mapped[dict[str, str]] = mapped_column(JSON)
    code_version: Mapped[str] = mapped_column(String(100))
    pid: Mapped[int]


class MeasurementRow(Base):
    """One number of a run."""

    __tablename__ = "measurements"
    __table_args__ = (UniqueConstraint("run", "variant", "metric", "params"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    model: Mapped[str] = mapped_column(String(1000))
    variant: Mapped[str] = mapped_column(String(100))
    device: Mapped[str] = mapped_column(String(100))
    metric: Mapped[str] = mapped_column(String(60))
    params: Mapped[str] = mapped_column(String(500))  # JSON with sorted keys, so that equal params are equal text
    value: Mapped[float]
    unit: Mapped[str] = mapped_column(String(20))
    n: Mapped[int]
    low: Mapped[float | None]
    high: Mapped[float | None]


class SampleRow(Base):
    """What one repeat gave: one value, or one a token."""

    __tablename__ = "samples"
    __table_args__ = (UniqueConstraint("run", "variant", "metric", "params", "repeat"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    variant: Mapped[str] = mapped_column(String(100))
    metric: Mapped[str] = mapped_column(String(60))
    params: Mapped[str] = mapped_column(String(500))
    repeat: Mapped[int]
    values: Mapped[list[float]] = mapped_column(JSON)


class Store:
    """A connection to the results. Every method is one transaction and raises `StoreError` with one clear line."""

    def __init__(self, url: str | None = None) -> None:
        """Open `url`, else `FASTGLM_DATABASE_URL`, else `results/results.sqlite` in `fastglm.home`; make its tables."""
        self.url = url or os.environ.get("FASTGLM_DATABASE_URL") or f"sqlite:///{folder('results') / 'results.sqlite'}"
        try:
            self.name = make_url(self.url).render_as_string(hide_password=True)
            self._engine = _engine(self.url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise StoreError(
                f"{_one_line(error)}: give a database URL such as sqlite:////folder/results.sqlite"
            ) from error
        with self._session() as session:
            _prepare(session.connection(), self.name)

    def start_run(self, run: Run) -> None:
        """Record that `run` began."""
        row = run.as_dict() | {"started": run.started.astimezone(UTC).replace(tzinfo=None), "status": "running"}
        row |= {"variants": list(run.variants), "suites": list(run.suites)}
        with self._session() as session:
            session.add(RunRow(**row))

    def note(self, run: str, settings: dict[str, Any]) -> None:
        """Record what a run found out about itself, such as how it arranged its hosts."""
        with self._session() as session:
            session.execute(update(RunRow).where(RunRow.id == run).values(settings=settings))

    def add(self, measurements: Iterable[Measurement]) -> None:
        """Write measurements; one with the same run, variant, metric and params is replaced."""
        with self._session() as session:
            for measurement in measurements:
                row = _columns(measurement)
                _replace(session, MeasurementRow, ("run", "variant", "metric", "params"), row)

    def add_samples(self, run: str, samples: Iterable[Sample]) -> None:
        """Write raw samples of `run`; one of the same repeat is replaced."""
        with self._session() as session:
            for sample in samples:
                row = _columns(sample) | {"run": run, "values": list(sample.values)}
                _replace(session, SampleRow, ("run", "variant", "metric", "params", "repeat"), row)

    def finish(self, run: str, status: Status, error: str | None = None) -> None:
        """Record how `run` ended."""
        ended = {"status": status, "error": error, "finished": datetime.now(UTC).replace(tzinfo=None)}
        with self._session() as session:
            session.execute(update(RunRow).where(RunRow.id == run).values(**ended))

    def runs(self) -> pd.DataFrame:
        """All runs, newest first. A run whose process is gone without having finished is `interrupted`."""
        with self._session() as session:
            table = _frame(session, RunRow, select(RunRow).order_by(RunRow.started.desc()))
        for name in ("started", "finished"):
            table[name] = pd.to_datetime(table[name], utc=True)
        here = platform.node()
        for index, run in table[table["status"] == "running"].iterrows():
            if run["machine"].get("node") == here and not still_runs(run["pid"], run["started"]):
                table.loc[index, "status"] = "interrupted"
        return table

    def measurements(self, run_ids: Sequence[str] | None = None, metric: str | None = None) -> pd.DataFrame:
        """Tidy rows (`params` as a dict), in the order they were written; of some runs or one metric if asked."""
        return self._rows(MeasurementRow, run_ids, metric)

    def samples(self, run_ids: Sequence[str] | None = None, metric: str | None = None) -> pd.DataFrame:
        """Raw samples, one row a repeat; `values` holds one value, or one a token for `decode_latency`."""
        return self._rows(SampleRow, run_ids, metric)

    def close(self) -> None:
        """Close the connections; the store opens them again when it is used again."""
        self._engine.dispose()

    def _rows(
        self, kind: type[MeasurementRow | SampleRow], run_ids: Sequence[str] | None, metric: str | None
    ) -> pd.DataFrame:
        query = select(kind).order_by(kind.id)
        if run_ids is not None:
            query = query.where(kind.run.in_(run_ids))
        if metric is not None:
            query = query.where(kind.metric == metric)
        with self._session() as session:
            table = _frame(session, kind, query).drop(columns="id")
        table["params"] = [json.loads(text) for text in table["params"]]
        return table

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise StoreError(_explained(error, self.name)) from error


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _prepare(connection: Connection, name: str) -> None:
    """Make the tables if they are not there; refuse those of a newer version."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # two programs may open a new store at once
    Base.metadata.create_all(connection)
    version = connection.scalar(select(SchemaRow.version))
    if version is None:
        connection.execute(insert(SchemaRow).values(version=SCHEMA))
    elif version > SCHEMA:
        raise StoreError(
            f"the results database {name} was written by a newer FAST-ChatGLM (version {version} of its tables, this "
            f"one knows {SCHEMA}): update this program, or name another database with FASTGLM_DATABASE_URL"
        )


def _columns(record: Measurement | Sample) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__} | {"params": params_text(record.params)}


def _replace(session: Session, kind: type[Base], keys: Sequence[str], row: dict[str, Any]) -> None:
    session.execute(delete(kind).where(*(getattr(kind, key) == row[key] for key in keys)))
    session.execute(insert(kind).values(**row))


def _frame(session: Session, kind: type[Base], query: Any) -> pd.DataFrame:
    names = [column.key for column in kind.__table__.columns]
    rows = [[getattr(row, name) for name in names] for row in session.scalars(query)]
    return pd.DataFrame(rows, columns=names)


def _explained(error: SQLAlchemyError, name: str) -> str:
    said = _one_line(error)
    if "database is locked" in said:
        return (
            f"the results database {name} is locked by another program: close that program, "
            "or name another database with FASTGLM_DATABASE_URL"
        )
    return (
        f"the results database {name} cannot be used ({said}): repair or move it away, "
        "or name another one with FASTGLM_DATABASE_URL"
    )


def _one_line(error: Exception) -> str:
    """The driver's own words, without SQLAlchemy's statement and link."""
    return " ".join(str(getattr(error, "orig", None) or error).splitlines()[0].split())
