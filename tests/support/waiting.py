"""Waiting for other threads and processes, and names of processes."""

import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks.environment import processes
from benchmarks.jobs.jobs import Job, Jobs

GONE = "4194305 1.00"  # no system assigns such a number
ME = processes.identity(os.getpid())


def until(true: Callable[[], Any]) -> None:
    """Wait until something is true, four minutes at most: a machine may be busy, and its processes import PyTorch."""
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def claimed(jobs: Jobs, worker: str = ME) -> Job:
    """The next job, taken by a worker."""
    job = jobs.claim(worker)
    assert job is not None
    return job


def now(jobs: Jobs, job: Job) -> Job:
    """The present state of a job."""
    found = jobs.get(job.id)
    assert found is not None
    return found
