"""Long work: one of our own commands in a process of its own, that a page starts, watches and cancels.

What a job said is read from files beside its record: a reload, another tab, even a restarted server find it again.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from fastglm.errors import FastGLMError
from fastglm.home import folder

_children: dict[int, subprocess.Popen[bytes]] = {}  # those of this server, to be reaped
_starting = threading.Lock()


@dataclass(frozen=True)
class Job:
    """A command that was started; what became of it is read anew each time `read` is called."""

    id: str
    command: list[str]
    pid: int
    born: float  # when the process began, as the system tells it: a pid alone may be somebody else's by now

    @property
    def _base(self) -> Path:
        return folder("logs") / f"job-{self.id}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        if (child := _children.get(self.pid)) is not None:
            child.poll()
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.born and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def cancel(self) -> None:
        """Ask the process to stop cleanly; it keeps what it has measured."""
        if self.alive:
            self._base.with_suffix(".cancelled").touch()
            if sys.platform == "win32":
                os.kill(self.pid, signal.CTRL_BREAK_EVENT)
            else:
                os.kill(self.pid, signal.SIGINT)

    def read(self) -> "Report":
        """What the process has told so far."""
        alive = self.alive  # before its words are read: whatever it said last is then there
        report = Report(alive, cancelled=self._base.with_suffix(".cancelled").exists())
        for line in _lines(self._base.with_suffix(".out")):
            with suppress(ValueError):
                report.take(json.loads(line))
        if not alive and not report.done and report.error is None and not report.cancelled:
            words = _lines(self._base.with_suffix(".err"))
            report.error = words[-1] if words else "the process ended without a word"
        return report


@dataclass
class Report:
    """What a job has told: its last progress, the run it writes to, and how it ended."""

    alive: bool
    cancelled: bool = False
    stage: str = ""
    fraction: float = 0.0
    eta: float | None = None  # seconds left
    run: Any = None
    done: bool = False
    error: str | None = None

    def take(self, event: dict[str, Any]) -> None:
        """Note one line of the process."""
        match event.get("event"):
            case "progress":
                self.stage, self.eta = str(event.get("stage", "")), event.get("eta")
                self.fraction = min(max(event["done"] / event["total"], 0.0), 1.0) if event.get("total") else 0.0
            case "run":
                self.run = event["id"]
            case "done":
                self.done = True
            case "error":
                self.error = str(event.get("message"))


def start(arguments: list[str]) -> Job:
    """Run `python arguments…` in the background; raises FastGLMError while another job runs."""
    with _starting:
        if (last := latest()) is not None and last.alive:
            raise FastGLMError("another measurement runs; wait for it or cancel it")
        name = f"{time.time_ns():020d}-{secrets.token_hex(3)}"
        base = folder("logs") / f"job-{name}"
        command = [sys.executable, *arguments]
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP  # so that the job alone can be interrupted
        with base.with_suffix(".out").open("wb") as out, base.with_suffix(".err").open("wb") as err:
            child = subprocess.Popen(
                command,
                cwd=folder("models"),  # a hub id that is a relative path too can only be one that visitors may open
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                creationflags=flags,
            )
        _children[child.pid] = child
        job = Job(name, command, child.pid, psutil.Process(child.pid).create_time())
        base.with_suffix(".json").write_text(json.dumps(asdict(job)), encoding="utf-8")
        return job


def latest() -> Job | None:
    """The job that was started last, by any server on this machine."""
    for record in sorted(folder("logs").glob("job-*.json"), reverse=True):
        with suppress(ValueError, TypeError, OSError):
            return Job(**json.loads(record.read_text(encoding="utf-8")))
    return None


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return []
