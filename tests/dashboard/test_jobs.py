"""Background jobs: found again, cancelled cleanly, and their end explained."""

import time
from collections.abc import Callable

import pytest

from dashboard import jobs
from fastglm.errors import FastGLMError

TELLS = """
import json, signal, sys, time
def say(**event): print(json.dumps(event), flush=True)
say(event="run", id="r1")
say(event="progress", stage="half", done=1, total=2, eta=3.5)
try:
    time.sleep(60)
except KeyboardInterrupt:
    say(event="done", run="r1", status="cancelled")
"""


def until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not come")


def test_a_job_is_watched_found_again_and_cancelled() -> None:
    job = jobs.start(["-c", TELLS])
    until(lambda: job.read().fraction == 0.5)
    found = jobs.latest()  # as another session, or a restarted server, does
    assert found == job
    report = job.read()
    assert (report.alive, report.stage, report.eta, report.run) == (True, "half", 3.5, "r1")
    with pytest.raises(FastGLMError, match="another measurement"):
        jobs.start(["-c", "pass"])
    job.cancel()
    until(lambda: not job.alive)
    report = job.read()
    assert report.cancelled
    assert report.error is None


def test_a_job_that_breaks_says_why() -> None:
    job = jobs.start(["-c", "import sys; sys.exit('error: the disk is full')"])
    until(lambda: not job.alive)
    assert job.read().error == "error: the disk is full"


def test_an_error_that_was_told_and_a_line_that_is_none() -> None:
    script = (
        """print('noise'); print('{"event": "progress"}'); print('{"event": "error", "message": "no such model"}')"""
    )
    job = jobs.start(["-c", script])
    until(lambda: not job.alive)
    assert job.read().error == "no such model"


def test_another_process_with_the_same_number_is_not_the_job() -> None:
    job = jobs.start(["-c", "pass"])
    until(lambda: not job.alive)
    import os

    assert not jobs.Job(job.id, job.command, os.getpid(), job.born).alive


def test_without_jobs() -> None:
    assert jobs.latest() is None
