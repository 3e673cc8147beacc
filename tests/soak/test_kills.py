"""Kills at random moments of hosts, workers, compressions, builds of kernels and downloads.

After each kill the next start works without a manual step, nothing is lost, and nothing runs on after a minute. A seed
decides the victim and the moment; every failure's text contains it. Kills of the app with a browser are in
`tests/browser`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
from hosting import TESTS_ON_PATH, eventually
from hub import REPO, hub
from recorded import folder
from traces import check_nothing_is_left, check_nothing_runs, running

from benchmarks.jobs.jobs import Jobs
from benchmarks.store.store import Store
from fastglm.models.checkpoint import Checkpoint

GOLDEN = folder("chatglm")
CHECKPOINT = (
    "config",
    "generation_config",
    "tokenizer_config",
    "ice_text",
    "pytorch_model",
)  # the beginning of its files' names

HOST = """
from fastglm.hosting.host import Host
with Host.start("demo", "int8", "cpu") as host:
    print("loaded", flush=True)
    for _ in range(10):
        answer = host.ask("你好", max_new_tokens=100, do_sample=False, ignore_eos=True)
        answer.wait()
        assert answer.state == "done", answer.error
print("done", flush=True)
"""

KERNELS = """
from fastglm.kernels.cpu import library
print("begins", flush=True)
library.build(lambda: print("builds", flush=True))
assert library.ready()
print("done", flush=True)
"""

DOWNLOAD = """
import sys
from fastglm.models.source import find_source
print("begins", flush=True)
print(find_source(sys.argv[1]).fetch(), flush=True)
print("done", flush=True)
"""


class Started:
    """A command in its own session, for a home."""

    def __init__(self, home: Path, *command: str, **environment: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | {"FASTGLM_HOME": str(home)} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill(self, chance: random.Random, among_all: bool) -> str:
        """Kill the command, or any of the processes that run for its home; return the victim's name."""
        victims = [each for each in running(self.home) if each.pid != self.process.pid] if among_all else []
        victim = chance.choice([psutil.Process(self.process.pid), *victims])
        with suppress(psutil.Error):
            command = " ".join(victim.cmdline())[:100]
            victim.kill()
            return command
        return "what was gone"

    def end(self, told: str) -> None:
        """Wait for its end, which must be successful."""
        said, _ = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, f"{told}: status {self.process.returncode}: {said}"

    def drop(self) -> None:
        """Wait for its end, successful or not."""
        self.process.communicate(timeout=240)


def kill_host(chance: random.Random, home: Path, told: str) -> None:
    """Kill the client, the server that forks, or the host, at a moment between its start and its answers."""
    first = Started(home, "-c", HOST, **TESTS_ON_PATH)
    time.sleep(chance.uniform(0.2, 8))
    told = f"{told}, {first.kill(chance, among_all=True)}"
    if first.process.poll() is None:
        time.sleep(0.5)
        first.kill(chance, among_all=False)
    first.drop()
    check_nothing_runs(home, told)
    Started(home, "-c", HOST, **TESTS_ON_PATH).end(told)
    check_nothing_runs(home, told)


def kill_worker(chance: random.Random, home: Path, told: str) -> None:
    """Kill the worker or its job's process; the job is resumed, or can be queued again."""
    store = Store()
    jobs = Jobs(store)
    made = home / "models" / "made"
    compression = ["-m", "fastglm", "compress", "--model", "demo", "--recipe", "int8", "--out", "made"]
    measuring = ["-m", "benchmarks", "run", "--model", "demo", "--variants", "original", "--suite", "latency"]
    measuring += ["--repeats", "2", "--prompt-tokens", "8", "--answer-tokens", "8"]
    arguments = [*chance.choice([compression, measuring]), "--progress", "json"]
    job = jobs.add(arguments)
    first = Started(home, "-m", "benchmarks", "work")
    eventually(lambda: (found := jobs.get(job.id)) and found.child)
    time.sleep(chance.uniform(0, 8))
    told = f"{told}, {first.kill(chance, among_all=True)}"
    if first.process.poll() is None and chance.random() < 0.5:
        first.kill(chance, among_all=False)
    elif first.process.poll() is None:
        first.drop()
    first.process.wait()
    if (found := jobs.get(job.id)) and found.state == "failed":  # its process was killed, which its worker recorded
        assert found.error, told
        job = jobs.add(arguments)
    Started(home, "-m", "benchmarks", "work").end(told)
    ended = jobs.get(job.id)
    assert ended is not None
    assert ended.state == "done", f"{told}: {ended.error}"
    if arguments[2] == "compress":
        assert Checkpoint(made).places, told
    else:
        (run,) = store.runs().query("status == 'done'").to_dict("records")
        if (figures := store.measurements([run["id"]], "decode_rate")).empty:
            # The host alone was killed: the run goes on, and records the failure instead of figures.
            (failure,) = store.measurements([run["id"]], "failure").to_dict("records")
            assert "ended (" in str(failure["params"]), f"{told}: {failure}, {figures}"
    store.close()
    check_nothing_runs(home, told)


def kill_compress(chance: random.Random, home: Path, told: str) -> None:
    """Kill a compression in a terminal, at any moment or while it writes."""
    made = home / "models" / "made"
    command = ("-m", "fastglm", "compress", "--model", "demo", "--recipe", "int4", "--out", str(made))
    first = Started(home, *command)
    if chance.random() < 0.7:
        eventually(lambda: made.with_name("made.work").is_dir() or first.process.poll() is not None)
        time.sleep(chance.uniform(0, 1))
    else:
        time.sleep(chance.uniform(0, 6))
    told = f"{told}, {first.kill(chance, among_all=False)}"
    first.drop()
    check_nothing_runs(home, told)
    if not made.is_dir():
        Started(home, *command).end(told)
    assert Checkpoint(made).places, told
    assert (made / "fastglm.json").is_file(), told


def kill_kernels(chance: random.Random, home: Path, told: str, times: int = 1) -> None:
    """Kill builds of the kernels, one after another: the waiting process, a compiler, or the process that watches
    it.
    """
    for number in range(times):
        first = Started(home, "-c", KERNELS, FASTGLM_COMPILE="1")
        assert (first.line(), first.line()) == ("begins", "builds"), f"{told}, kill {number}"
        time.sleep(chance.uniform(0, 6))
        victim = first.kill(chance, among_all=True)
        if first.process.poll() is None:
            first.kill(chance, among_all=False)
        first.drop()
        check_nothing_runs(home, f"{told}, kill {number}, {victim}")
    Started(home, "-c", KERNELS, FASTGLM_COMPILE="1").end(told)
    assert [path.suffix for path in (home / "kernels").iterdir()] == [".so"], told


def kill_download(chance: random.Random, home: Path, told: str) -> None:
    """Kill a download from a slow hub."""
    environment = {"HF_HOME": str(home / "hub"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    wanted = {path.name: path.read_bytes() for path in GOLDEN.iterdir() if path.name.startswith(CHECKPOINT)}
    with hub(wanted, 3.0) as address:
        environment["HF_ENDPOINT"] = address
        first = Started(home, "-c", DOWNLOAD, REPO, **environment)
        assert first.line() == "begins"
        time.sleep(chance.uniform(0, 5))
        told = f"{told}, {first.kill(chance, among_all=False)}"
        first.drop()
        check_nothing_runs(home, told)
        Started(home, "-c", DOWNLOAD, REPO, **environment).end(told)
    (snapshot,) = (home / "hub" / "hub").glob("models--*/snapshots/*")
    assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == wanted, told


Kill = Callable[[random.Random, Path, str], None]
KILLS: dict[Kill, int] = {kill_host: 12, kill_worker: 8, kill_compress: 10, kill_download: 8}


def check(kind: Kill, seed: int, home: Path) -> None:
    """Kill once and start again; at the latest one more start sweeps the home."""
    told = f"{getattr(kind, '__name__', 'kill_kernels')}, seed {seed}"
    kind(random.Random(seed), home, told)
    sweeps = "from fastglm.hosting.sweep import sweep; sweep()"
    Started(home, "-c", sweeps, **TESTS_ON_PATH).end(told)
    check_nothing_is_left(home, told)


pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed as on POSIX systems")


@pytest.mark.parametrize(
    ("kind", "seed"),
    [(kill_host, 1), (kill_worker, 1), (kill_compress, 0), (kill_compress, 1), (kill_download, 1)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_next_start_after_a_kill_works(kind: Kill, seed: int, own_home: Path) -> None:
    check(kind, seed, own_home)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "seed"),
    [(kind, seed) for kind, count in KILLS.items() for seed in range(2, 2 + count)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_next_start_works_whatever_was_killed(kind: Kill, seed: int, own_home: Path) -> None:
    check(kind, seed, own_home)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_kernels_are_built_after_six_kills(own_home: Path) -> None:
    check(partial(kill_kernels, times=6), 2, own_home)
