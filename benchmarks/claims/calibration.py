"""Checks of the measuring itself: against itself, and against other instruments."""

import subprocess
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import fastglm
import fastglm.hosting.host
from benchmarks.execution.request import read_subject
from benchmarks.execution.runner import execute, prepare
from benchmarks.measure import statistics
from benchmarks.measure.bounds import ClaimedFigure, count, times, within
from benchmarks.measure.statistics import Estimate
from benchmarks.measure.stopping import LEAST, Precision
from benchmarks.run.device import alone
from benchmarks.run.isolated import apart
from benchmarks.run.progress import Reporter
from benchmarks.run.workload import Workload, prompts
from benchmarks.store.run import Run
from benchmarks.suites.load import files_of
from benchmarks.synthetic_checkpoints import make_checkpoint
from fastglm.errors import FastGLMError
from fastglm.hosting.host import Host
from fastglm.hosting.spawn import forked, launched
from fastglm.models.source import demo_folder
from fastglm.progress.progress import OnProgress, Progress

WORKLOAD = Workload((32,), 64, LEAST, precision=Precision())  # as in a run with default settings
SLOWER = 0.05  # share of each step
ANSWER: dict[str, Any] = {"max_new_tokens": 256, "do_sample": False, "ignore_eos": True}
PROMPT_TOKENS, ANSWERS = 32, 12


def same_variant(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare `fast` with itself 40 times; at 95 %, 1 in 20 may be called different."""
    return [count(sum(_differs(_compared(reporter, 0.0)) for _ in range(40)), 40, most=5)]


def slower_variant(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare `fast` with a slowed `fast` 20 times."""
    found = sum(_differs(ratio) and ratio.value < 1 for ratio in (_compared(reporter, SLOWER) for _ in range(20)))
    return [count(found, 20, least=18)]


def stopwatch(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare the reported decode rate with a stopwatch in the client's process."""
    return [within(apart(_told_and_stopped, reporter), 0.03)]


def cost_of_hosting(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare a step in a host whose client reads every piece with a step whose pieces are not sent."""
    return [times(apart(_hosted_and_bare, reporter), most=1.01)]


def peak_of_process(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare `peak_memory` with the system's record of the ended process, as `/usr/bin/time -v` prints it."""
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder), 1024, 8, 16, 32000)
        told, system = apart(_told_and_system_peak, reporter, folder)
    return [
        ClaimedFigure(told, "bytes", least=0.97 * system, most=1.03 * system),
        ClaimedFigure(system, "bytes", "the system"),
    ]


def size_on_disk(_reporter: Reporter) -> list[ClaimedFigure]:
    """Compare `disk_size` with `du`."""
    folder = demo_folder()
    told = sum(file.stat().st_size for file in files_of(folder))
    said = subprocess.run(["du", "-cb", *files_of(folder)], capture_output=True, text=True, check=True).stdout
    return [ClaimedFigure(abs(told - int(said.splitlines()[-1].split()[0])), "bytes", "difference", most=0)]


def _differs(ratio: Estimate) -> bool:
    assert ratio.low is not None
    assert ratio.high is not None
    return not ratio.low <= 1 <= ratio.high


def _compared(reporter: Reporter, slower: float) -> Estimate:
    """Decode rate of a host relative to another host of the same variant, measured like any run."""

    def load(variant: str, progress: OnProgress) -> Host:
        share = slower if variant == "second" else 0.0
        launch = partial(forked, module="benchmarks.claims.slowed_host", arguments=(str(share),))
        return Host.start("demo", "fast", "cpu", progress=progress, launch=launch)

    asked = prepare(WORKLOAD, read_subject("demo", "cpu").tokenizer)
    run = Run("demo", ("first", "second"), ("latency",), {"device": "cpu"}, machine={})
    with alone("cpu", "benchmark", reporter) as servers:
        result = execute(run, WORKLOAD, asked, [], load, None, reporter, beside=servers)
    for row in result.measurements:
        if row.metric == "decode_rate_ratio":
            return Estimate(row.value, row.n, row.low, row.high)
    raise FastGLMError("; ".join(str(row.params["error"]) for row in result.measurements if row.metric == "failure"))


def _told_and_stopped(progress: OnProgress) -> Estimate:
    """The decode rate that the pieces report, divided by the rate at which they arrive."""
    ratios = []
    with Host.start("demo", "fast", "cpu") as host:
        for number, prompt in enumerate(_prompts(), 1):
            progress(Progress("a stopwatch", number, ANSWERS))
            arrived, times = [], []
            for piece in host.ask(prompt, lease=False, **ANSWER):
                arrived.append(time.perf_counter())
                times.append(piece.time)
            ratios.append((arrived[-1] - arrived[0]) / (times[-1] - times[0]))
    return statistics.median(ratios[1:])


def _hosted_and_bare(progress: OnProgress) -> Estimate:
    """Seconds per step with a client that reads every piece, relative to steps without a reader, in turn in one
    process.
    """
    ratios = []
    with Host.start("demo", "fast", "cpu") as host:
        for number, prompt in enumerate(_prompts(), 1):
            progress(Progress("with and without a client", number, ANSWERS))
            times = [piece.time for piece in host.ask(prompt, lease=False, **ANSWER)]
            ratios.append((times[-1] - times[0]) / host.apply(bare, prompt, host.info.threads))
    return statistics.median(ratios[1:])


def bare(model: Any, tokenizer: Any, prompt: list[int], threads: int, progress: OnProgress) -> float:
    """Seconds between the first and the last token of an answer that is sent nowhere."""
    import torch

    torch.set_num_threads(threads)
    times = [piece.time for piece in fastglm.stream(model, tokenizer, prompt, owner=None, **ANSWER)]
    return sum(after - before for before, after in pairwise(times))


def _told_and_system_peak(progress: OnProgress, folder: str) -> tuple[int, int]:
    """Bytes at the peak of a host's life, as the host reports and as the system reports after its end (not on
    Windows).
    """
    import resource

    fastglm.hosting.host.LAUNCH = launched  # a child of this process, because the system reports on children only
    with Host.start(folder, "original", "cpu", progress=progress) as host:
        host.ask(_prompts(folder)[0], lease=False, max_new_tokens=32, do_sample=False, ignore_eos=True).wait()
        told = host.memory().peak
    return told, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _prompts(model: str = "demo") -> list[list[int]]:
    return prompts(read_subject(model, "cpu").tokenizer, PROMPT_TOKENS, ANSWERS)
