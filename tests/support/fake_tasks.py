"""Replacement of `benchmarks.execution.ray_cluster.measure` in the workers of a test's Ray cluster: it measures on fake
hosts.

`FAKE_TASKS` names a folder: every call leaves a file there, and files in it order failures.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import fake_hosts as fakes
import ray

import benchmarks.environment.machine
from benchmarks.execution import ray_cluster, request
from benchmarks.execution.request import RunRequest

real = ray_cluster.measure


def measure(task: RunRequest, texts: bytes | None) -> Any:
    """Like `benchmarks.execution.ray_cluster.measure`."""
    folder, machine = Path(os.environ["FAKE_TASKS"]), fakes.FakeMachine()
    name = f"{task.suites[0]}-{'-'.join(task.variants)}"
    node = ray.get_runtime_context().get_node_id()
    begun = time.time()
    calls = len(list(folder.glob(f"{name}.{node}.*")))
    mark = folder / f"{name}.{node}.{calls}"
    mark.touch()

    request.Host = fakes.hosts_of(machine)  # type: ignore[misc]
    request.read_subject = fakes.subject
    benchmarks.environment.machine.busy = lambda: 0.0
    if calls < _times(folder / "kill", name) and _is_first(folder / "victim", node):
        os.kill(os.getpid(), signal.SIGKILL)
    if _times(folder / "bug", name):
        raise ZeroDivisionError("a bug\nof two lines")
    machine.on_load = lambda _variant: mark.write_text("loaded")
    if _times(folder / "large", name):
        machine.too_large = set(task.variants)
    found = real(task, texts)
    mark.write_text(f"{begun} {time.time()} {os.environ.get('OMP_NUM_THREADS')}")
    return found


def _is_first(file: Path, node: str) -> bool:
    """Tell whether this machine asked first: only that one loses workers, each of which takes long to start."""
    with suppress(FileExistsError), file.open("x") as new:
        new.write(node)
    return file.read_text() == node


def _times(file: Path, name: str) -> int:
    """The number of times that a failure is ordered for the task `name`: the file has the failure's name and the
    number.
    """
    wanted = dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}
    return int(wanted.get(name, 0))
