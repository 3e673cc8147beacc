"""Long work: commands of this project, queued in the results store, that a worker runs in a separate process.

A closed browser, a restarted server and a killed worker leave the queue unchanged: the next page that looks at it
starts a worker if one is needed.
"""

import subprocess
import threading
import time
from collections.abc import Sequence

from benchmarks.jobs.jobs import Job, Jobs, next_of
from dashboard import detached
from dashboard.results.store import store
from fastglm.system.files import last_line
from fastglm.system.home import folder

SHOWN_LINES = 200
PATIENCE = 15.0  # seconds between the start of a worker that broke and the next start

_lock = threading.Lock()
_worker: subprocess.Popen[bytes] | None = None  # the last worker that this server started
_started = 0.0


def start(arguments: Sequence[str]) -> Job:
    """Queue `python arguments…`. Raises FastGLMError if too many jobs wait or the store cannot be used."""
    job = _jobs().add(arguments)
    unfinished()
    return job


def unfinished() -> list[Job]:
    """The running and waiting jobs of this machine, in order; starts a worker if needed."""
    found = _jobs().unfinished()
    _see_to(found)
    return found


def last() -> Job | None:
    """The job that ended last."""
    return _jobs().last()


def lines(job: Job) -> list[str]:
    """The latest lines of a job's log."""
    return _jobs().lines(job.id, SHOWN_LINES)


def cancel(job: Job) -> None:
    """Take a waiting job out of the queue, or stop a running one; it keeps its measurements."""
    _jobs().cancel(job.id)


def trouble() -> str | None:
    """The reason why this server's last worker could not work, if any."""
    with _lock:
        if _worker is None or _worker.poll() in (None, 0):
            return None
        status = _worker.returncode
    return last_line(folder("logs") / "worker.log") or f"the worker ended with status {status}"


def _jobs() -> Jobs:
    return Jobs(store())


def _see_to(jobs: Sequence[Job]) -> None:
    """Start a worker if a job could run and no worker is about to take it."""
    global _worker, _started
    if next_of(jobs) is None:
        return
    with _lock:
        if _worker is not None:
            status, its = _worker.poll(), f"{_worker.pid} "
            busy = any(job.state == "running" and (job.worker or "").startswith(its) for job in jobs)
            if (status is None and not busy) or (status and time.monotonic() - _started < PATIENCE):
                return
        _worker = detached.start(["-m", "benchmarks", "work"], folder("logs") / "worker.log")
        _started = time.monotonic()
