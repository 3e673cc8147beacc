"""The present tables of the results store; `benchmarks/store/migrations` holds their history.

A row is a dataclass of `benchmarks.measure` in a program, and a checked JSON object in a file
(`benchmarks.exchange.schema`), whose fields are these columns.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()


def _needed(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _row_id() -> Column[int]:
    # On PostgreSQL a replaced row uses up a number too.
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _of(name: str, table: str) -> Column[Any]:
    """The row of another table that a row belongs to, and with which it is removed."""
    return Column(name, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False)


# One benchmark execution; times in UTC.
RUNS = Table(
    "runs",
    METADATA,
    Column("id", String(40), primary_key=True),
    _needed("started", DateTime),
    Column("finished", DateTime),
    _needed("status", String(20)),
    Column("error", String(2000)),
    _needed("command", String(4000)),
    _needed("model", String(1000)),
    _needed("variants", JSON),
    _needed("suites", JSON),
    _needed("settings", JSON),
    _needed("machine", JSON),
    _needed("versions", JSON),
    _needed("code_version", String(100)),
    _needed("pid", Integer),
    Column("deleted", DateTime),  # null for a run that is not deleted
    Index("ix_runs_started", "started"),
    Index("ix_runs_deleted", "deleted"),
)

# One number of a run: `benchmarks.measure.measurement.Measurement`.
MEASUREMENTS = Table(
    "measurements",
    METADATA,
    _row_id(),
    _of("run", "runs"),
    _needed("model", String(1000)),
    _needed("variant", String(100)),
    _needed("device", String(100)),
    _needed("metric", String(60)),
    _needed("params", String(500)),  # JSON with sorted keys, so that equal params are equal texts
    _needed("value", Double),
    _needed("unit", String(20)),
    _needed("n", Integer),
    Column("low", Double),
    Column("high", Double),
    UniqueConstraint("run", "variant", "metric", "params"),  # its index also serves to find the rows of a run
    Index("ix_measurements_metric_run", "metric", "run"),
)

# Result of one repeat: `benchmarks.measure.measurement.Sample`.
SAMPLES = Table(
    "samples",
    METADATA,
    _row_id(),
    _of("run", "runs"),
    _needed("variant", String(100)),
    _needed("metric", String(60)),
    _needed("params", String(500)),
    _needed("repeat", Integer),
    _needed("values", JSON),
    UniqueConstraint("run", "variant", "metric", "params", "repeat"),
)

# A variant's answer to one question of the quality suite: `benchmarks.measure.graded_answer.Graded`.
ANSWERS = Table(
    "answers",
    METADATA,
    _row_id(),
    _of("run", "runs"),
    _needed("variant", String(100)),
    _needed("number", Integer),
    _needed("labels", JSON),
    _needed("history", JSON),
    _needed("question", Text),
    _needed("expected", Text),
    Column("answer", Text),
    Column("right", Boolean),
    _needed("tokens", Integer),
    _needed("nats", Double),
    Column("kl", Double),
    Column("agreed", Integer),
    UniqueConstraint("run", "variant", "number"),
)

# One of this project's commands, running in the background or waiting: `benchmarks.jobs.jobs.Job`. Times in UTC.
JOBS = Table(
    "jobs",
    METADATA,
    _row_id(),  # by time of queueing
    _needed("node", String(255)),  # a job belongs to a machine
    _needed("arguments", JSON),  # the Python version
    _needed("device", String(20)),  # "auto": any device of the machine
    _needed("state", String(20)),
    _needed("cancelling", Boolean),
    _needed("attempts", Integer),
    Column("worker", String(60)),  # as `environment.processes.identity` describes it
    Column("child", String(60)),
    _needed("stage", String(300)),
    _needed("fraction", Double),  # share that is done, 0 to 1
    Column("eta", Double),  # seconds left
    Column("run", String(40)),  # files that the job writes and that may be deleted
    Column("error", String(2000)),
    _needed("queued", DateTime),
    Column("started", DateTime),
    Column("finished", DateTime),
    Index("ix_jobs_node_state", "node", "state"),
    Index("ix_jobs_finished", "finished"),
)

# Lines of the jobs' output.
LOG = Table(
    "job_lines",
    METADATA,
    _row_id(),
    _of("job", "jobs"),
    _needed("text", String(2000)),
    Index("ix_job_lines_job_id", "job", "id"),
)
