"""A worker: its jobs' output and end, and the recovery after it is killed."""

import io
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import claimed, now, until

from benchmarks.environment import processes
from benchmarks.jobs import worker
from benchmarks.jobs.compression import Compression
from benchmarks.jobs.jobs import Job, Jobs
from benchmarks.measure.measurement import params_text
from benchmarks.run.progress import JsonReporter
from benchmarks.store.store import Store, StoreError

FAKE = Path(__file__).parents[2] / "support" / "fake_benchmarks.py"
HANDLE, IS_OURS = signal.signal, worker._is_ours
SAYS = """
import json, os, signal, sys, time
def say(**event): print(json.dumps(event), flush=True)
def progress(stage, done): say(event="progress", stage=stage, done=done, total=4, eta=3.5)
"""


@pytest.fixture(autouse=True)
def unchanged_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the signals of the tests' own process alone, and allow any command as a job.

    Tests that run in the background ignore Ctrl-C, and their child processes would too.
    """
    monkeypatch.setattr(worker, "_is_ours", lambda _: True)
    before = HANDLE(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    yield
    HANDLE(signal.SIGINT, before)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs(Store())


def done(jobs: Jobs, script: str) -> Job:
    """A job of this script that has run."""
    job = jobs.add(["-c", SAYS + script])
    worker.work(Store())
    return now(jobs, job)


def test_the_output_of_a_job_is_in_the_store(jobs: Jobs) -> None:
    script = (
        'say(event="run", id="r1"); progress("读", 1); progress("读", 2); say(event="warning", message="int4: 坏\\0")'
    )
    job = done(jobs, script + '; print("noise"); say(event="progress"); progress("写", 3)')
    assert (job.state, job.run, job.stage, job.fraction, job.eta, job.error) == ("done", "r1", "写", 0.75, 3.5, None)
    assert (job.child, job.attempts) == (None, 1)
    said = ["run r1", "读", "warning: int4: 坏", "noise", '{"event": "progress"}', "写"]
    assert jobs.lines(job.id) == said


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("sys.exit('error: the disk is full')", "error: the disk is full"),
        ('say(event="error", message="no such model"); sys.exit("more")', "no such model"),
        ('say(event="warning", message="int4 could not be measured"); sys.exit(1)', "warning: int4 could not be"),
        ("sys.exit(3)", "the process ended without a word, with status 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process ended without a word, with signal 9"),
    ],
)
def test_a_job_that_breaks_says_why(jobs: Jobs, script: str, error: str) -> None:
    job = done(jobs, script)
    assert job.state == "failed"
    assert (job.error or "").startswith(error)


def test_a_cancelled_job_is_interrupted_and_the_next_is_begun(jobs: Jobs) -> None:
    waits = """
try: progress("half", 2); time.sleep(600)
except KeyboardInterrupt: print("stopped cleanly"); say(event="done", run="r1", status="cancelled"); sys.exit(1)
"""
    job, other = jobs.add(["-c", SAYS + waits]), jobs.add(["-c", "pass"])

    def cancel() -> None:
        mine = Jobs(Store())
        until(lambda: now(mine, job).fraction == 0.5)
        mine.cancel(job.id)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    worker.work(Store())
    canceller.join()
    assert (now(jobs, job).state, now(jobs, job).error) == ("cancelled", None)
    assert jobs.lines(job.id) == ["half", "stopped cleanly"]
    assert now(jobs, other).state == "done"


def test_a_job_that_does_not_listen_is_ended_by_force_with_what_it_started(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.3)
    deaf = """
import subprocess
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
print(child.pid, flush=True)
time.sleep(600)
"""
    job = jobs.add(["-c", SAYS + deaf])

    def cancel() -> None:
        mine = Jobs(Store())
        until(lambda: mine.lines(job.id))
        started.append(processes.identity(int(mine.lines(job.id)[0])))
        mine.cancel(job.id)

    started: list[str] = []
    canceller = threading.Thread(target=cancel)
    canceller.start()
    worker.work(Store())
    canceller.join()
    assert now(jobs, job).state == "cancelled"
    until(lambda: processes.find(started[0]) is None)


def test_a_database_that_goes_away_costs_no_job_and_no_line(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(real: Callable[..., Any], times: int) -> Callable[..., Any]:
        away = iter(range(times))
        counts.append(away)

        def called(*arguments: Any) -> Any:
            if next(away, None) is not None:
                raise StoreError("it is away")
            return real(*arguments)

        return called

    counts: list[Iterator[int]] = []
    monkeypatch.setattr(worker.time, "sleep", lambda _: None)
    for name in ("claim", "tell", "finish"):
        monkeypatch.setattr(Jobs, name, gone(getattr(Jobs, name), 5))
    job = done(jobs, 'progress("one", 1); say(event="run", id="r1"); progress("two", 4)')
    assert [next(away, None) for away in counts] == [None] * 3
    assert (job.state, job.run, job.fraction) == ("done", "r1", 1.0)
    assert jobs.lines(job.id) == ["one", "run r1", "two"]


def test_a_database_that_stays_away_is_told(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.0)

    def away(*_: Any) -> None:
        raise StoreError("it is away")

    monkeypatch.setattr(Jobs, "claim", away)
    with pytest.raises(StoreError, match="it is away"):
        worker.work(Store())


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_reporter_without_a_reader_stops() -> None:
    with pytest.raises(KeyboardInterrupt):
        JsonReporter(Gone()).run("r1")


_workers: list[BaseProcess] = []


@pytest.fixture(autouse=True)
def no_workers_left() -> Iterator[None]:
    """End all processes that a failing test leaves, with their children."""
    yield
    while _workers:
        if (found := _workers.pop()).is_alive():
            processes.kill(psutil.Process(found.pid))
        found.join()


def _work() -> None:
    worker.work(Store())


def begun(jobs: Jobs, job: Job, true: Callable[[Job], Any]) -> tuple[BaseProcess, Job]:
    """A worker in a separate process, and the job once a condition on it is true."""
    started = get_context("fork").Process(target=_work)  # so that it need not import everything again
    started.start()
    _workers.append(started)
    until(lambda: not started.is_alive() or (now(jobs, job).state == "running" and true(now(jobs, job))))
    return started, now(jobs, job)


def killed(jobs: Jobs, job: Job, true: Callable[[Job], Any]) -> Job:
    """The state of a job whose worker is killed once a condition is true."""
    started, found = begun(jobs, job, true)
    started.kill()
    started.join()
    assert started.exitcode == -signal.SIGKILL  # it had not ended by itself
    return found


def said(jobs: Jobs, lines: int, job: Job) -> bool:
    """Tell whether the log has this number of lines."""
    return len(jobs.lines(job.id)) == lines


def reached(attempt: int, fraction: float, job: Job) -> bool:
    """Tell whether this attempt has reached a share of its work."""
    return job.attempts == attempt and job.fraction > fraction


def test_foreign_commands_are_not_run(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_is_ours", IS_OURS)
    job = done(jobs, f"open({str(tmp_path / 'run')!r}, 'w')")
    assert (job.state, (job.error or "")[:36]) == ("failed", "it is not one of our commands: pytho")
    assert not (tmp_path / "run").exists()
    serving = ["-m", "benchmarks", "serving", "--model", "demo"]
    assert IS_OURS(serving)
    for foreign in ("--endpoint=http://example.com", "--key-file"):
        assert not IS_OURS([*serving, foreign])


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "r1", "--out", "x.html"],
        ["export", "x.json"],
        ["run", "--model", "demo", "--json", "x"],
        ["run", "--json=x"],
        ["resume", "r1", "--store", "sqlite:///x"],
        ["run", "--ray", "auto"],
    ],
)
def test_a_measurement_of_a_job_writes_only_to_the_store(arguments: list[str]) -> None:
    assert not IS_OURS(["-m", "benchmarks", *arguments])
    assert IS_OURS(["-m", "benchmarks", arguments[0], "--progress", "json"]) == (arguments[0] in ("run", "resume"))


@pytest.fixture
def wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace `python -m benchmarks …` of jobs by another program, which gets the arguments after it."""

    def wrap(command: str) -> None:
        script = tmp_path / "python"
        script.write_text(f'#!/bin/sh\nshift 2\nexec {command} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        monkeypatch.setattr(worker.sys, "executable", str(script))

    return wrap


def test_a_job_of_a_killed_worker_is_continued_and_finally_given_up(
    jobs: Jobs, tmp_path: Path, wrapped: Callable[[str], None]
) -> None:
    """Its process ignores signals and prints nothing, so that it cannot notice that its reader is gone."""
    (tmp_path / "quiet.py").write_text("import sys, time; print(sys.argv[1:], flush=True); time.sleep(600)")
    wrapped(f"{sys.executable} {tmp_path / 'quiet.py'}")
    job = jobs.add(["-m", "benchmarks", "run", "--progress", "json"])
    children: list[str | None] = []
    for attempt in range(1, worker.ATTEMPTS + 1):
        found = killed(jobs, job, partial(said, jobs, attempt))
        assert processes.find(found.child) is not None  # left alone
        assert [child for child in children if processes.find(child)] == []  # never two at once
        assert now(jobs, job).abandoned
        children.append(found.child)
    worker.work(Store())
    assert processes.find(children[-1]) is None
    ended = now(jobs, job)
    assert (ended.state, ended.error) == ("failed", "its worker was killed 3 times; what was measured is kept")
    assert jobs.lines(job.id) == ["['run', '--progress', 'json']"] * worker.ATTEMPTS


def test_another_kind_of_job_is_not_done_twice(jobs: Jobs) -> None:
    job = jobs.add(["-c", "print(1, flush=True); import time; time.sleep(600)"])
    left = killed(jobs, job, lambda job: jobs.lines(job.id))
    worker.work(Store())
    assert processes.find(left.child) is None
    assert (now(jobs, job).state, (now(jobs, job).error or "")[:11]) == ("failed", "interrupted")


def test_a_cancel_that_finds_no_worker_is_heard_by_the_next(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.add(["-m", "benchmarks", "run", "--model", str(tmp_path / "none")])
    killed(jobs, job, lambda job: job.child)
    jobs.cancel(job.id)
    worker.work(Store())
    assert (now(jobs, job).state, now(jobs, job).attempts) == ("cancelled", 2)


def test_a_worker_that_is_asked_to_end_stops_its_job_and_leaves_it_to_the_next(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.signal, "signal", HANDLE)
    stops = 'import time\ntry: print(1, flush=True); time.sleep(600)\nexcept KeyboardInterrupt: print("stopped")'
    job = Jobs(Store()).add(["-c", stops])
    started, found = begun(jobs, job, lambda job: jobs.lines(job.id))
    assert started.pid is not None
    os.kill(started.pid, signal.SIGTERM)
    started.join(60)
    assert processes.find(found.child) is None
    assert now(jobs, job).abandoned


@pytest.mark.timeout(600)
def test_a_worker_killed_at_random_moments_loses_and_doubles_nothing(
    jobs: Jobs, wrapped: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ANSWER_TAKES", "0.03")
    wrapped(f"{sys.executable} {FAKE}")
    options = ["--variants", "original,int4", "--prompt-tokens", "8,24", "--answer-tokens", "6", "--repeats", "4"]
    options += ["--suite", "latency,memory,quality,load", "--questions", "1", "--progress", "json"]
    job = jobs.add(["-m", "benchmarks", "run", *options])
    draw = random.Random(0)
    for attempt, (low, high) in enumerate([(0.05, 0.4), (0.5, 0.8)], 1):  # also in the middle of a resumed one
        left = killed(jobs, job, partial(reached, attempt, draw.uniform(low, high)))
        samples = Store().samples()
    assert set(samples["variant"]) == {"original", "int4"}  # kept as they come
    child = processes.find(left.child)
    assert child is not None
    processes.kill(child)  # the run itself too, in the middle of writing
    worker.work(Store())
    ended = now(jobs, job)
    assert (ended.state, ended.error, ended.attempts) == ("done", None, 3)
    assert processes.find(left.child) is None
    (run,) = Store().runs().to_dict("records")
    assert (run["id"], run["status"]) == (ended.run, "done")
    kept = Store().samples()
    keys = ["variant", "metric", "params", "repeat"]
    before, after = (
        set(table.assign(params=table["params"].map(params_text))[keys].itertuples(index=False, name=None))
        for table in (samples, kept)
    )
    assert before <= after
    rows = Store().measurements()
    assert not rows.assign(params=rows["params"].map(params_text))[["variant", "metric", "params"]].duplicated().any()
    assert rows[rows["metric"] == "decode_rate"]["n"].tolist() == [4] * 4
    assert not Store().answers(run["id"]).duplicated(["variant", "number"]).any()
    assert f"run {ended.run}" in jobs.lines(job.id)


def test_the_note_of_a_stage_is_shown_and_logged_now_and_then(jobs: Jobs) -> None:
    script = """
for done, loss in ((1, "2.5"), (2, "2.25"), (3, "2.125")):
    say(event="progress", stage="step 1 of 2: training", done=done, total=4, eta=None, note=f"loss {loss}\\0")
"""
    job = done(jobs, script)
    assert (job.stage, job.fraction, job.eta) == ("step 1 of 2: training · loss 2.125", 0.75, None)
    assert jobs.lines(job.id) == ["step 1 of 2: training", "1/4 · loss 2.5"]  # the next one is due in some seconds


def test_a_compression_whose_worker_was_killed_goes_on_unless_it_had_ended(jobs: Jobs, own_home: Path) -> None:
    asked = Compression("demo", "int4", "made")
    jobs.add(asked.arguments())
    jobs.claim("4194305 1.00")
    again = claimed(jobs)
    assert worker._left_of(jobs, again) == asked.arguments()
    asked.folder.mkdir(parents=True)
    assert worker._left_of(jobs, again) is None
    assert now(jobs, again).state == "done"
