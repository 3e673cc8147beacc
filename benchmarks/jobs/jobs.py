"""The queue of this machine's jobs in the results store: commands of this project that a worker runs one by one."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from benchmarks.environment import processes
from benchmarks.store import migrations
from benchmarks.store.schema import JOBS, LOG, RUNS
from benchmarks.store.store import Store
from fastglm.errors import FastGLMError

State = Literal["queued", "running", "done", "failed", "cancelled"]
MOST_QUEUED = 20  # waiting jobs of a machine
LINES = 1000  # lines that are kept of a job's log
KEPT = timedelta(days=30)  # ended jobs that are kept


@dataclass(frozen=True, slots=True)
class Job:
    """A command of this project and its progress; columns of `benchmarks.store.schema.JOBS`."""

    id: int
    arguments: list[str]
    device: str
    state: State
    cancelling: bool
    attempts: int
    worker: str | None
    child: str | None
    stage: str
    fraction: float
    eta: float | None
    run: str | None
    error: str | None
    queued: datetime
    started: datetime | None
    finished: datetime | None

    @property
    def abandoned(self) -> bool:
        """Tell whether the job was begun and its worker is gone."""
        return self.state == "running" and processes.find(self.worker) is None

    def waits_for(self, other: "Job") -> bool:
        """Tell whether two jobs cannot run at the same time; `auto` may be any device."""
        mine, theirs = set(self.device.split(",")), set(other.device.split(","))
        return bool(mine & theirs) or "auto" in mine | theirs


def next_of(jobs: Sequence[Job]) -> Job | None:
    """The job to run next: an interrupted one first, otherwise the oldest whose device is free."""
    for job in jobs:
        if job.abandoned:
            return job
    ahead = [job for job in jobs if job.state == "running"]
    for job in jobs:
        if job.state == "queued":
            if not any(job.waits_for(other) for other in ahead):
                return job
            ahead.append(job)
    return None


class Jobs:
    """The queue. Every method is one transaction and raises `StoreError` if the store cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._here = JOBS.c.node == platform.node()

    def add(self, arguments: Sequence[str]) -> Job:
        """Queue `python arguments…`, or return the job if it is queued already. Raises FastGLMError if too many jobs
        wait.
        """
        now = _now()
        row: dict[str, Any] = {
            "node": platform.node(),
            "arguments": list(arguments),
            "device": _device(arguments),
            "state": "queued",
        }
        row |= {"queued": now, "cancelling": False, "attempts": 0, "stage": "", "fraction": 0.0}

        def add(connection: Connection) -> Job:
            migrations.lock(connection)
            waiting = [job for job in self._open(connection) if job.state == "queued"]
            if (same := next((job for job in waiting if job.arguments == row["arguments"]), None)) is not None:
                return same  # a second click asked for the same
            if len(waiting) >= MOST_QUEUED:
                raise FastGLMError(f"{MOST_QUEUED} jobs wait already: cancel some, or wait for their end")
            connection.execute(delete(JOBS).where(self._here, JOBS.c.finished < now - KEPT))
            found = connection.execute(insert(JOBS).values(row).returning(JOBS.c.id)).scalar_one()
            return self._all(connection, JOBS.c.id == found)[0]

        return self._store.work(add)

    def unfinished(self) -> list[Job]:
        """The running and waiting jobs in the order they were queued."""
        return self._store.work(self._open)

    def last(self) -> Job | None:
        """The job that ended last."""
        ended = select(JOBS.c.id).where(self._here, JOBS.c.finished.is_not(None))
        latest = ended.order_by(JOBS.c.finished.desc(), JOBS.c.id.desc()).limit(1).scalar_subquery()
        found = self._store.work(lambda connection: self._all(connection, JOBS.c.id == latest))
        return found[0] if found else None

    def get(self, job: int) -> Job | None:
        """The job of this number in its present state."""
        found = self._store.work(lambda connection: self._all(connection, JOBS.c.id == job))
        return found[0] if found else None

    def lines(self, job: int, most: int = LINES) -> list[str]:
        """The newest lines of a job's log, oldest first."""
        newest = select(LOG.c.text).where(LOG.c.job == job).order_by(LOG.c.id.desc()).limit(most)
        return self._store.work(lambda connection: list(connection.scalars(newest)))[::-1]

    def cancel(self, job: int) -> None:
        """Cancel a waiting job, or ask a running one to stop; its measurements are kept."""

        def cancel(connection: Connection) -> None:
            change = update(JOBS).where(JOBS.c.id == job)
            connection.execute(change.where(JOBS.c.state == "queued").values(state="cancelled", finished=_now()))
            connection.execute(change.where(JOBS.c.state == "running").values(cancelling=True))

        self._store.work(cancel)

    def claim(self, worker: str) -> Job | None:
        """Take the next job for a worker; None if there is none. No two workers ever get the same job.

        A job that a lost worker began has more than one attempt; its `child` may still run.
        """

        def claim(connection: Connection) -> Job | None:
            migrations.lock(connection)
            if (job := next_of(self._open(connection))) is None:
                return None
            taken = {"state": "running", "worker": worker, "attempts": job.attempts + 1}
            taken |= {"started": job.started or _now()}
            unchanged = and_(JOBS.c.id == job.id, JOBS.c.state == job.state)  # it may be cancelled at this moment
            changed = connection.execute(update(JOBS).where(unchanged).values(**taken)).rowcount
            return self._all(connection, JOBS.c.id == job.id)[0] if changed else None

        return self._store.work(claim)

    def tell(self, job: Job, news: dict[str, Any], lines: Sequence[str]) -> bool:
        """Record a job's news: columns, and lines of its log.

        Returns whether the job must stop, because it was cancelled or belongs to another worker.
        """
        mine = and_(JOBS.c.id == job.id, JOBS.c.worker == job.worker)

        def tell(connection: Connection) -> bool:
            if news:
                connection.execute(update(JOBS).where(mine).values(**news))
            if lines:
                connection.execute(insert(LOG), [{"job": job.id, "text": line} for line in lines])
                newest = select(LOG.c.id).where(LOG.c.job == job.id).order_by(LOG.c.id.desc())
                too_old = LOG.c.id <= newest.offset(LINES).limit(1).scalar_subquery()
                connection.execute(delete(LOG).where(LOG.c.job == job.id, too_old))
            return connection.scalar(select(JOBS.c.cancelling).where(mine)) is not False

        return self._store.work(tell)

    def finish(self, job: Job, state: State, error: str | None = None) -> None:
        """Record the end of a job."""
        ended = {"state": state, "error": error and error[:2000], "finished": _now(), "child": None}
        self.tell(job, ended, [])

    def run_of(self, job: Job) -> dict[str, Any] | None:
        """Id, status and error of the run that a job began, if any.

        A killed worker may not have recorded the run, but a run records its process.
        """
        its = RUNS.c.id == job.run
        if job.run is None and job.child and job.started:
            its = and_(RUNS.c.pid == int(job.child.split()[0]), RUNS.c.started >= job.started)
        query = select(RUNS.c.id, RUNS.c.status, RUNS.c.error, RUNS.c.machine).where(its)
        rows = self._store.work(lambda connection: connection.execute(query).mappings().all())
        return next((dict(row) for row in rows if row["machine"].get("node") == platform.node()), None)

    def _open(self, connection: Connection) -> list[Job]:
        return self._all(connection, and_(self._here, JOBS.c.state.in_(("queued", "running"))))

    def _all(self, connection: Connection, which: ColumnElement[bool]) -> list[Job]:
        columns = [JOBS.c[field.name] for field in fields(Job)]
        return [Job(*row) for row in connection.execute(select(*columns).where(which).order_by(JOBS.c.id))]


def _device(arguments: Sequence[str]) -> str:
    """The device that a command names; `auto` if it names none."""
    name = arguments[arguments.index("--device") + 1] if "--device" in arguments[:-1] else "auto"
    return "cuda:0" if name == "cuda" else name[:20]


def _now() -> datetime:
    """The present time as the store keeps it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
