"""The present tables of the results store; `benchmarks/store/migrations` holds their history."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ROW_ID = BigInteger().with_variant(Integer, "sqlite")  # on PostgreSQL a replaced row uses up a number too


class Base(DeclarativeBase):
    """Tables of the store."""


class RunRow(Base):
    """One benchmark execution."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_started", "started"), Index("ix_runs_deleted", "deleted"))
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
    deleted: Mapped[datetime | None] = mapped_column(DateTime)  # UTC; null for a run that is not deleted


class MeasurementRow(Base):
    """One number of a run."""

    __tablename__ = "measurements"
    __table_args__ = (
        UniqueConstraint("run", "variant", "metric", "params"),  # its index also serves to find the rows of a run
        Index("ix_measurements_metric_run", "metric", "run"),
    )
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(1000))
    variant: Mapped[str] = mapped_column(String(100))
    device: Mapped[str] = mapped_column(String(100))
    metric: Mapped[str] = mapped_column(String(60))
    params: Mapped[str] = mapped_column(String(500))  # JSON with sorted keys, so that equal params are equal texts
    value: Mapped[float]
    unit: Mapped[str] = mapped_column(String(20))
    n: Mapped[int]
    low: Mapped[float | None]
    high: Mapped[float | None]


class SampleRow(Base):
    """Result of one repeat: one value, or one per token."""

    __tablename__ = "samples"
    __table_args__ = (UniqueConstraint("run", "variant", "metric", "params", "repeat"),)
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    variant: Mapped[str] = mapped_column(String(100))
    metric: Mapped[str] = mapped_column(String(60))
    params: Mapped[str] = mapped_column(String(500))
    repeat: Mapped[int]
    values: Mapped[list[float]] = mapped_column(JSON)


class AnswerRow(Base):
    """A variant's answer to one question of the quality suite; the figures are of the expected answer's tokens."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("run", "variant", "number"),)
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    variant: Mapped[str] = mapped_column(String(100))
    number: Mapped[int]
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    history: Mapped[list[tuple[str, str]]] = mapped_column(JSON)
    question: Mapped[str] = mapped_column(Text)
    expected: Mapped[str] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)  # null if it did not end by itself
    right: Mapped[bool | None]  # null if no rule can tell
    tokens: Mapped[int]
    nats: Mapped[float]
    kl: Mapped[float | None]
    agreed: Mapped[int | None]


class JobRow(Base):
    """One of this project's commands, running in the background or waiting. A job belongs to a machine."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_node_state", "node", "state"), Index("ix_jobs_finished", "finished"))
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)  # by time of queueing
    node: Mapped[str] = mapped_column(String(255))
    arguments: Mapped[list[str]] = mapped_column(JSON)  # the Python version
    device: Mapped[str] = mapped_column(String(20))  # "auto": any device of the machine
    state: Mapped[str] = mapped_column(String(20))
    cancelling: Mapped[bool]
    attempts: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(60))  # as `environment.processes.identity` describes it
    child: Mapped[str | None] = mapped_column(String(60))
    stage: Mapped[str] = mapped_column(String(300))
    fraction: Mapped[float]  # share that is done, 0 to 1
    eta: Mapped[float | None]  # seconds left
    run: Mapped[str | None] = mapped_column(String(40))  # files that the job writes and that may be deleted
    error: Mapped[str | None] = mapped_column(String(2000))
    queued: Mapped[datetime] = mapped_column(DateTime)  # UTC
    started: Mapped[datetime | None] = mapped_column(DateTime)
    finished: Mapped[datetime | None] = mapped_column(DateTime)


class JobLineRow(Base):
    """A line of a job's output."""

    __tablename__ = "job_lines"
    __table_args__ = (Index("ix_job_lines_job_id", "job", "id"),)
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    job: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(String(2000))
