"""A worker: runs the queued jobs of this machine one by one, each in its own process, until none is left.

It may be killed at any moment. The next worker then takes its job, after the abandoned process has ended: two processes
never write to one run.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

import psutil

from benchmarks.environment import processes
from benchmarks.jobs.compression import COMMAND, Compression
from benchmarks.jobs.jobs import LINES, Job, Jobs, State
from benchmarks.store.store import Store, StoreError
from fastglm.errors import FastGLMError, UsageError
from fastglm.system.files import DOWNLOAD_LIMIT, VISITORS_LIMIT
from fastglm.system.home import folder

LOOK = 0.25  # seconds between two looks at the process's output and at requests to stop
TELL = 0.5  # seconds between two writes of progress
NOTED = 5.0  # seconds between two lines of the log about a stage
PATIENCE = 600.0  # seconds to wait for a database that went away
MEASURING = [["-m", "benchmarks", command] for command in ("run", "resume", "serving")]
FOREIGN = {"--json", "--store", "--ray", "--endpoint", "--key-file"}  # would write or ask elsewhere
ATTEMPTS = 3  # attempts at a job whose worker is killed again and again

T = TypeVar("T")


def work(store: Store) -> None:
    """Run jobs until no more can start; the remaining ones wait for the device of another worker's job.

    SIGINT and SIGTERM stop the job's process, leave the job to the next worker, and raise KeyboardInterrupt.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    jobs, me = Jobs(store), processes.identity(os.getpid())
    while (job := _insist(lambda: jobs.claim(me))) is not None:
        if (arguments := _left_of(jobs, job)) is not None:
            _attempt(jobs, job, arguments)


def _attempt(jobs: Jobs, job: Job, arguments: list[str]) -> None:
    """Run one job; if its process cannot start, the job fails and the worker goes on."""
    try:
        attempt = Attempt(jobs, job, arguments)
    except (OSError, FastGLMError) as error:
        failed = f"its process could not be started: {error}"
        _insist(lambda: jobs.finish(job, "failed", failed))
    else:
        attempt.carry_out()


def _left_of(jobs: Jobs, job: Job) -> list[str] | None:
    """The command that runs the rest of a job; None if nothing is left, which is then recorded."""
    if not _is_ours(job.arguments):
        refused = f"it is not one of our commands: python {' '.join(job.arguments)}"
        _insist(lambda: jobs.finish(job, "failed", refused))
        return None
    if job.attempts == 1:
        return job.arguments
    if (orphan := processes.find(job.child)) is not None:
        processes.stop(orphan)
    run = _insist(lambda: jobs.run_of(job))
    state: State = "failed"
    error: str | None = "interrupted: its worker was killed; what was measured is kept"
    compresses = job.arguments[: len(COMMAND)] == COMMAND
    if (run and run["status"] == "done") or (compresses and Compression.of(job.arguments).folder.is_dir()):
        state, error = "done", None
    elif job.cancelling:
        state, error = "cancelled", None
    elif job.attempts > ATTEMPTS:
        error = f"its worker was killed {ATTEMPTS} times; what was measured is kept"
    elif job.arguments[:3] in MEASURING:
        return ["-m", "benchmarks", "resume", run["id"], "--progress", "json"] if run else job.arguments
    elif compresses:
        return job.arguments  # these commands continue by themselves
    _insist(lambda: jobs.finish(job, state, error))
    return None


def _is_ours(arguments: Sequence[str]) -> bool:
    """Tell whether this project made a command: a database with many writers must not allow running or writing anything
    else here.
    """
    if list(arguments[: len(COMMAND)]) != COMMAND:
        named = {argument.partition("=")[0] for argument in arguments}
        return list(arguments[:3]) in MEASURING and not named & FOREIGN
    try:
        Compression.of(arguments)
    except UsageError:
        return False
    return True


class Attempt:
    """The process of a job: its output goes to the store, and a cancellation in the store goes to the process."""

    def __init__(self, jobs: Jobs, job: Job, arguments: list[str]) -> None:
        self._jobs, self._job = jobs, job
        self._news: dict[str, Any] = {"stage": "", "fraction": 0.0, "eta": None}
        self._lines: deque[str] = deque(maxlen=LINES)
        self._told = self._noted = float("-inf")
        self._stage = self._words = self._status = ""
        self._error: str | None = None
        own_group: dict[str, Any] = {"start_new_session": True}  # Ctrl-C in the worker's terminal does not reach it
        if sys.platform == "win32":
            own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder("models"),  # a hub id that is also a relative path is restricted to paths that visitors may open
            env={DOWNLOAD_LIMIT: str(VISITORS_LIMIT), **os.environ, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            **own_group,
        )
        self._heard: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def carry_out(self) -> None:
        """Follow the process to its end, and record the end."""
        self._reader.start()
        stopped = None
        try:
            with suppress(psutil.NoSuchProcess):  # the process has ended
                self._news["child"] = processes.identity(self._child.pid)
            while self._child.poll() is None:
                if self._exchange() and stopped is None:
                    stopped = time.monotonic()
                    processes.interrupt(psutil.Process(self._child.pid))
                if stopped is not None and time.monotonic() - stopped > processes.GRACE:
                    processes.kill(psutil.Process(self._child.pid))
                time.sleep(LOOK)
        finally:
            if self._child.poll() is None:
                processes.stop(psutil.Process(self._child.pid))
        self._reader.join(1)  # its children may hold its output open
        self._hear()
        _insist(lambda: self._jobs.tell(self._job, self._news, self._lines))
        state, error = self._outcome(stopped is not None)
        _insist(lambda: self._jobs.finish(self._job, state, error))

    def _outcome(self, stopped: bool) -> tuple[State, str | None]:
        code = self._child.returncode
        if code == 0:
            return "done", None
        if stopped or self._status == "cancelled":
            return "cancelled", self._error
        how = f"signal {-code}" if code < 0 else f"status {code}"
        return "failed", self._error or self._words or f"the process ended without a word, with {how}"

    def _exchange(self) -> bool:
        """Read the process's output, and update the store now and then. Returns whether the process must stop."""
        self._hear()
        due = time.monotonic() - self._told > TELL
        try:
            stop = self._jobs.tell(self._job, self._news if due else {}, self._lines if due else ())
        except StoreError:  # recorded later
            return False
        if due:
            self._news, self._told = {}, time.monotonic()
            self._lines.clear()
        return stop

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._heard.put(line)

    def _hear(self) -> None:
        while not self._heard.empty():
            line = self._heard.get().strip()
            try:
                event = json.loads(line)
                self._note(event["event"], event)
            except (ValueError, TypeError, KeyError):  # not one of this project's events
                if line:
                    self._words = self._log(line)

    def _note(self, kind: str, event: dict[str, Any]) -> None:
        """Record one line of `benchmarks.run.progress`, or of `fastglm.progress.json_lines`, whose stages can have
        notes.
        """
        match kind:
            case "progress":
                part = event["done"] / event["total"] if event["total"] else 0.0
                if event["stage"] != self._stage:
                    self._stage = event["stage"]
                    self._news["stage"] = self._log(self._stage)[:300]
                if note := event.get("note"):
                    self._tell_note(f"{event['done']:g}/{event['total']:g} · {note}", note)
                self._news |= {"fraction": min(max(part, 0.0), 1.0), "eta": event["eta"]}
            case "run":
                self._news["run"] = event["id"]
                self._log(f"run {event['id']}")
            case "warning":
                self._words = self._log(f"warning: {event['message']}")
            case "error":
                self._error = self._log(event["message"])
            case "done":
                self._status = event["status"]

    def _tell_note(self, line: str, note: str) -> None:
        """Record a note on the stage: always beside its name, now and then in the log."""
        self._news["stage"] = _plain(f"{self._stage} · {note}")[:300]
        if time.monotonic() - self._noted > NOTED:
            self._noted = time.monotonic()
            self._log(line)

    def _log(self, line: str) -> str:
        """Add a line to the log; return the line as it stands there."""
        line = _plain(line)[:2000]
        self._lines.append(line)
        return line


def _plain(line: str) -> str:
    """Text that any database accepts."""
    return line.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _insist(do: Callable[[], T]) -> T:
    """Call `do` and return its result; repeat for a while if the database went away."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return do()
        except StoreError:
            if time.monotonic() > until:
                raise
        time.sleep(1)
