"""Long work: our own commands, queued in the results store, that a worker carries out in a process of its own.

A closed browser, a restarted server and a killed worker leave the queue as it is: whoever looks at it next starts a
worker where one is needed.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.jobs.jobs import Job, Jobs, next_of
from dashboard.results.store import store
from fastglm.system.files import read_regular
from fastglm.system.home import folder, private, writing

SHOWN_LINES = 200
LARGEST_LOG = 10_000_000  # bytes
PATIENCE = 15.0  # seconds from the start of a worker that broke to that of another

_lock = threading.Lock()
_worker: subprocess.Popen[bytes] | None = None  # the last that this server started
_started = 0.0


def start(arguments: Sequence[str]) -> Job:
    """Queue `python arguments…`. Raises FastGLMError where too many wait or the store cannot be used."""
    job = _jobs().add(arguments)
    unfinished()
    return job


def unfinished() -> list[Job]:
    """Jobs of this machine that are carried out or wait for their turn, in order; a worker is seen to."""
    found = _jobs().unfinished()
    _see_to(found)
    return found


def last() -> Job | None:
    """The job that ended last."""
    return _jobs().last()


def lines(job: Job) -> list[str]:
    """What a job said of late."""
    return _jobs().lines(job.id, SHOWN_LINES)


def cancel(job: Job) -> None:
    """Take a job that waits out of the queue, or have it stopped; it keeps what it has measured."""
    _jobs().cancel(job.id)


def trouble() -> str | None:
    """Why the worker that this server started last could not work, if so."""
    with _lock:
        if _worker is None or _worker.poll() in (None, 0):
            return None
        status = _worker.returncode
    try:
        words = read_regular(folder("logs") / "worker.log", LARGEST_LOG).decode("utf-8", "replace").split("\n")
    except OSError:
        words = []
    return next((line for line in reversed(words) if line.strip()), f"the worker ended with status {status}")


def _jobs() -> Jobs:
    return Jobs(store())


def _see_to(jobs: Sequence[Job]) -> None:
    """Start a worker where a job could be taken up and none is on its way."""
    global _worker, _started
    if next_of(jobs) is None:
        return
    with _lock:
        if _worker is not None:
            status, its = _worker.poll(), f"{_worker.pid} "
            busy = any(job.state == "running" and (job.worker or "").startswith(its) for job in jobs)
            if (status is None and not busy) or (status and time.monotonic() - _started < PATIENCE):
                return
        options: dict[str, Any] = {"start_new_session": True}  # it outlives this server
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        with writing(), open(folder("logs") / "worker.log", "wb", opener=private) as log:
            _worker = subprocess.Popen(
                [sys.executable, "-m", "benchmarks", "work"],
                cwd=folder("models"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **options,
            )
        _started = time.monotonic()
        threading.Thread(target=_worker.wait, daemon=True).start()  # so that it leaves no zombie
