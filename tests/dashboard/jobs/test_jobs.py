"""Background jobs: a worker starts only if one is needed, and outlives its starter."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from waiting import GONE, ME, claimed, until

from benchmarks.environment import processes
from benchmarks.jobs.jobs import Jobs
from benchmarks.store.store import Store
from dashboard.jobs import jobs
from fastglm.errors import FastGLMError
from fastglm.system.home import home


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that has just started."""
    monkeypatch.setattr(jobs, "_worker", None)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The started workers, none of which works."""
    started: list[SimpleNamespace] = []

    def start(command: list[str], **_options: Any) -> SimpleNamespace:
        assert command[1:] == ["-m", "benchmarks", "work"]
        worker = SimpleNamespace(pid=100 + len(started), returncode=None, wait=lambda: None)
        worker.poll = lambda: worker.returncode
        started.append(worker)
        return worker

    monkeypatch.setattr(jobs.subprocess, "Popen", start)
    return started


def test_no_job_needs_no_worker(workers: list[SimpleNamespace]) -> None:
    assert jobs.last() is None
    assert jobs.unfinished() == []
    assert jobs.trouble() is None
    assert workers == []


def test_one_worker_is_started_and_given_time_to_begin(workers: list[SimpleNamespace]) -> None:
    first = jobs.start(["-c", "1"])
    jobs.start(["-c", "2"])
    assert [job.arguments for job in jobs.unfinished()] == [["-c", "1"], ["-c", "2"]]
    assert len(workers) == 1
    queue = Jobs(Store())
    taken = claimed(queue)
    assert taken.id == first.id
    workers[0].returncode = 0  # it finds the device in use
    jobs.unfinished()
    assert len(workers) == 1  # the other job waits for this worker's device
    queue.finish(taken, "done")
    jobs.unfinished()
    assert len(workers) == 2


def test_a_job_for_a_free_device_gets_a_worker_of_its_own(workers: list[SimpleNamespace]) -> None:
    jobs.start(["-c", "1", "--device", "cpu"])
    Jobs(Store()).claim(ME)
    workers[0].pid = os.getpid()  # still running
    jobs.start(["-c", "2", "--device", "cuda"])
    assert len(workers) == 2


def test_a_job_that_a_killed_worker_left_is_seen_to(workers: list[SimpleNamespace]) -> None:
    queue = Jobs(Store())
    job = queue.add(["-c", "1"])
    queue.claim(GONE)
    assert jobs.unfinished()[0].abandoned  # as a restarted server finds it
    assert len(workers) == 1
    jobs.cancel(job)
    assert jobs.unfinished()[0].cancelling


def test_a_worker_that_breaks_is_told_of_and_not_started_all_the_time(
    workers: list[SimpleNamespace], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.start(["-c", "1"])
    workers[0].returncode = 1
    assert jobs.trouble() == "the worker ended with status 1"
    (own_home / "logs" / "worker.log").write_text("Traceback\nerror: the disk is full\n")
    assert jobs.trouble() == "error: the disk is full"
    jobs.unfinished()
    assert len(workers) == 1
    monkeypatch.setattr(jobs, "PATIENCE", 0.0)
    jobs.unfinished()
    assert len(workers) == 2


SERVER = """
import json, sys, time
from dashboard.jobs import jobs
from fastglm.errors import FastGLMError
from fastglm.system.home import home
jobs.start(json.loads(sys.argv[1]))
print(jobs._worker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.timeout(600)
def test_a_real_run_outlives_the_server_that_asked_for_it(own_home: Path) -> None:
    golden = str(Path(__file__).parents[2] / "golden" / "chatglm")
    options = ["--variants", "original", "--prompt-tokens", "8", "--answer-tokens", "4", "--repeats", "1"]
    command = ["-m", "benchmarks", "run", "--model", golden, *options, "--device", "cpu", "--progress", "json"]
    server = [sys.executable, "-c", SERVER, json.dumps(command)]
    with subprocess.Popen(server, stdout=subprocess.PIPE, process_group=0) as started:
        assert started.stdout is not None
        worker = processes.identity(int(started.stdout.readline()))
        os.killpg(started.pid, signal.SIGKILL)
    queue = Jobs(Store())  # it only watches, and starts no worker of its own
    until(lambda: not queue.unfinished())
    assert (last := queue.last()) is not None
    assert (last.state, last.error, last.fraction) == ("done", None, 1.0), queue.lines(last.id)
    (run,) = Store().runs().to_dict("records")
    assert (run["id"], run["status"]) == (last.run, "done")
    assert not Store().measurements(metric="decode_rate").empty
    until(lambda: processes.find(worker) is None)  # nothing is left to do
    assert (own_home / "logs" / "worker.log").read_text() == ""


def test_a_worker_that_cannot_be_started_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs.subprocess, "Popen", full)
    with pytest.raises(FastGLMError, match="No space left on device"):
        jobs.start(["-c", "1"])
    assert [job.state for job in Jobs(Store()).unfinished()] == ["queued"]


def test_a_log_that_is_gone_leaves_the_status(workers: list[SimpleNamespace]) -> None:
    jobs.start(["-c", "1"])
    workers[0].returncode = 3
    (home() / "logs" / "worker.log").unlink()
    assert jobs.trouble() == "the worker ended with status 3"
