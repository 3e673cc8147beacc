"""The queue of jobs on both databases: order, devices, simultaneous and lost workers, and the log."""

import os
import platform
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from waiting import GONE, ME, claimed, now

from benchmarks.environment import processes
from benchmarks.jobs import jobs as queue
from benchmarks.jobs.jobs import JOBS, Jobs
from benchmarks.store.run import Run
from benchmarks.store.store import Store
from fastglm.errors import FastGLMError


@pytest.fixture
def jobs(url: str) -> Jobs:
    return Jobs(Store(url))


def command(number: int, device: str | None = None) -> list[str]:
    return ["-c", f"print({number})", *(["--device", device] if device else [])]


def test_first_come_first_served(jobs: Jobs) -> None:
    first, second = jobs.add(command(1)), jobs.add(command(2))
    assert [job.id for job in jobs.unfinished()] == [first.id, second.id]
    taken = claimed(jobs)
    assert (taken.id, taken.arguments, taken.state, taken.attempts) == (first.id, command(1), "running", 1)
    assert jobs.claim(ME) is None  # one job a device at a time
    jobs.finish(taken, "failed", "x" * 5000)
    assert (ended := jobs.last()) is not None
    assert (ended.id, ended.state, len(ended.error or "")) == (first.id, "failed", 2000)
    taken = claimed(jobs)
    assert taken.id == second.id
    jobs.finish(taken, "done")
    assert jobs.unfinished() == []
    assert jobs.claim(ME) is None


def test_devices_are_waited_for_one_by_one(jobs: Jobs) -> None:
    ids = [jobs.add(command(n, d)).id for n, d in enumerate(["cuda", "cuda:0", "cuda:1", None, "cpu"])]

    def claim() -> int | None:
        taken = jobs.claim(ME)
        return taken and ids.index(taken.id)

    assert [claim(), claim(), claim()] == [0, 2, None]  # `cpu` does not overtake a job for any device
    first, second = (job for job in jobs.unfinished() if job.state == "running")
    jobs.finish(first, "done")
    assert [claim(), claim()] == [1, None]
    jobs.finish(second, "done")
    assert claim() is None
    jobs.finish(jobs.unfinished()[0], "done")
    assert [claim(), claim()] == [3, None]


def test_a_job_on_several_cards_waits_for_each_of_them(jobs: Jobs) -> None:
    ids = [jobs.add(command(n, d)).id for n, d in enumerate(["cuda:0,cuda:1", "cuda:1", "cuda:2", "cuda:2,cuda:3"])]
    taken = [jobs.claim(ME) for _ in range(3)]
    assert [job and ids.index(job.id) for job in taken] == [0, 2, None]


def test_a_second_click_queues_nothing_and_the_queue_has_an_end(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST_QUEUED", 2)
    first = jobs.add(command(1))
    assert jobs.add(command(1)).id == first.id
    jobs.claim(ME)
    again = jobs.add(command(1))  # queued while it runs: measured again
    assert again.id != first.id
    jobs.add(command(2))
    with pytest.raises(FastGLMError, match="2 jobs wait already"):
        jobs.add(command(3))


@pytest.mark.parametrize("devices", ["one", "many"])
def test_workers_that_come_at_once_never_get_the_same_job(url: str, devices: str) -> None:
    jobs = Jobs(Store(url))
    ids = [jobs.add(command(n, f"cuda:{n}" if devices == "many" else "cpu")).id for n in range(8)]
    together, taken = threading.Barrier(4), []

    def work() -> None:
        mine = Jobs(Store(url))
        together.wait()
        while (job := mine.claim(ME)) is not None:
            taken.append(job.id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == (ids if devices == "many" else ids[:1])


def test_a_job_whose_worker_is_gone_is_given_to_the_next(jobs: Jobs) -> None:
    jobs.add(command(1))
    jobs.add(command(2))
    lost = claimed(jobs, GONE)
    jobs.tell(lost, {"child": "7 1.00", "run": "r1"}, ["one"])
    assert jobs.unfinished()[0].abandoned
    found = claimed(jobs)
    assert (found.id, found.attempts, found.child, found.run) == (lost.id, 2, "7 1.00", "r1")
    assert not found.abandoned
    assert jobs.claim(ME) is None
    jobs.tell(lost, {"stage": "of the dead"}, [])
    jobs.finish(lost, "failed")
    again = now(jobs, lost)
    assert (again.state, again.stage) == ("running", "")
    assert jobs.tell(lost, {}, [])  # it must stop
    assert not jobs.tell(found, {}, [])


def test_a_run_that_a_killed_worker_had_not_recorded_is_found(jobs: Jobs, url: str) -> None:
    store, here = Store(url), {"node": platform.node()}
    jobs.add(command(1))
    job = claimed(jobs)
    jobs.tell(job, {"child": "77 1.00"}, [])
    job = now(jobs, job)
    assert jobs.run_of(job) is None
    before = Run("demo", ["fast"], ["latency"], {}, machine=here, pid=77, started=datetime(2020, 1, 1, tzinfo=UTC))
    other = Run("demo", ["fast"], ["latency"], {}, machine={"node": "elsewhere"}, pid=77)
    its = Run("demo", ["fast"], ["latency"], {}, machine=here, pid=77)
    for run in (before, other, its):
        store.start_run(run)
    store.finish(its.id, "done")
    assert (found := jobs.run_of(job)) is not None
    assert (found["id"], found["status"]) == (its.id, "done")


def test_cancelling(jobs: Jobs) -> None:
    running, waiting = jobs.add(command(1)), jobs.add(command(2))
    taken = claimed(jobs)
    assert not jobs.tell(taken, {}, [])
    jobs.cancel(running.id)
    jobs.cancel(waiting.id)
    assert jobs.tell(taken, {}, [])
    assert [(job.id, job.cancelling) for job in jobs.unfinished()] == [(running.id, True)]
    assert (last := jobs.last()) is not None
    assert (last.id, last.state, last.started) == (waiting.id, "cancelled", None)
    jobs.finish(taken, "done")
    jobs.cancel(taken.id)  # too late
    assert now(jobs, taken).state == "done"


def test_the_log_keeps_the_newest_lines(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LINES", 5)
    one, two = jobs.add(command(1, "cpu")), jobs.add(command(2, "cuda"))
    for job in (claimed(jobs), claimed(jobs)):
        for start in (0, 3, 6):
            jobs.tell(job, {}, [f"第 {n} 行" for n in range(start, start + 3)])
    for job in (one, two):
        assert jobs.lines(job.id) == [f"第 {n} 行" for n in range(4, 9)]
        assert jobs.lines(job.id, 2) == ["第 7 行", "第 8 行"]


def test_jobs_of_long_ago_and_of_other_machines(jobs: Jobs, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs.add(command(1))
    taken = claimed(jobs)
    jobs.tell(taken, {}, ["one"])
    jobs.finish(taken, "done")
    store = Store(url)

    def age(days: int) -> None:
        when = taken.queued - timedelta(days=days)
        store.work(lambda connection: connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(finished=when)))

    age(29)
    jobs.cancel(jobs.add(command(2)).id)
    assert jobs.get(job.id) is not None
    age(31)
    jobs.add(command(3))
    assert jobs.get(job.id) is None
    assert jobs.lines(job.id) == []
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    other = Jobs(store)
    assert (other.unfinished(), other.last(), other.claim(ME)) == ([], None, None)


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    assert (found := processes.find(ME)) is not None
    assert found.pid == os.getpid()
    assert processes.find(f"{os.getpid()} 1.00") is None
    assert processes.find(GONE) is None
    assert processes.find(None) is None
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    its = processes.identity(child.pid)
    while processes.find(its) is not None:
        pass
    assert child.wait() == 0  # `find` saw its end before `wait` freed its number


def test_a_process_that_does_not_listen_is_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read(1)
    found = processes.find(processes.identity(child.pid))
    assert found is not None
    processes.stop(found)
    assert child.wait() == -9
    child.stdout.close()
