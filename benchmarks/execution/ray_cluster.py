"""A request that runs on every machine of a Ray cluster at once. Needs the extra `ray`.

Every machine, suite and variant is its own Ray task, except that the variants of a `PAIRED` suite share one task: they
take turns on their machine (A B B A …), and their ratios are of such pairs. The tasks of a machine run one after
another, each with a GPU and all processors reserved, so that no other task of the cluster disturbs a measurement. The
results of a machine's tasks form one run of the store, as if measured there alone.

Each machine needs this project installed, and finds the model by the same name.
"""

import os
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmarks.execution.request import RunRequest
from benchmarks.execution.runner import stoppable, unstoppable, waiting
from benchmarks.measure import graded_answer
from benchmarks.run.progress import Reporter
from benchmarks.run.record import Record, Result
from benchmarks.store.run import Run, Status
from fastglm.errors import FastGLMError
from fastglm.system.ray_cluster import connected, first_line

if TYPE_CHECKING:
    from benchmarks.store.store import Store

PAIRED = frozenset({"latency", "throughput"})
LOST = (WorkerCrashedError, OutOfMemoryError, NodeDiedError, LocalRayletDiedError)  # not caused by the measured variant
LOOK_EVERY = 1.0  # seconds
GRACE = 20.0  # seconds in which a cancelled task can hand over its measurements


@dataclass
class Member:
    """A machine of the cluster: its remaining tasks, the running one first, and its results."""

    node: str  # Ray's id of the machine
    name: str
    resources: Mapping[str, float]
    tasks: deque[RunRequest]
    record: Record
    lost: bool = False  # tells whether the running task has lost a worker already


def carry_out(order: RunRequest, address: str, store: "Store | None", reporter: Reporter) -> list[Result]:
    """Measure on all machines of the cluster at `address`; return one result per machine.

    A task whose worker is lost runs again, once. A failed task is a result too, and the others go on. SIGINT and
    SIGTERM cancel the running tasks; measurements are kept. Raises `FastGLMError` if nothing can be measured.
    """
    order.questions()  # wrong usage is reported before a cluster is asked
    texts = order.texts.read_bytes() if order.texts else None
    with connected(address):
        members = [_member(order, node, store) for node in _nodes(address)]
        cancelled = True
        for member in members:
            if store:
                store.start_run(member.record.run)
            reporter.run(member.record.run.id)
        reporter.plan(sum(len(member.tasks) for member in members))
        try:
            with stoppable():
                _work(members, texts, store, reporter)
            cancelled = False
        except KeyboardInterrupt:
            pass
        except RayError as error:
            raise FastGLMError(
                f"the cluster at {address} is lost ({first_line(error)}): results that arrived are kept"
            ) from error
        finally:
            with unstoppable():
                results = [_finish(member, cancelled, store) for member in members]
    return results


def measure(task: RunRequest, texts: bytes | None) -> tuple[Result | FastGLMError, list[str]]:
    """Run a task on the machine of this process; return its result and its warnings.

    Args:
        texts: content of the file `task.texts`, which may be on another machine.
    """
    if os.environ.get("OMP_NUM_THREADS") == str(int(_reserved_cpus())):  # set by Ray; PyTorch's choice is better
        del os.environ["OMP_NUM_THREADS"]
    heard = _Heard()
    with tempfile.TemporaryDirectory() as folder:
        if task.texts and texts is not None:
            copy = Path(folder, task.texts.name)
            copy.write_bytes(texts)
            task = replace(task, texts=copy)
        try:
            return task.carry_out(None, heard), heard.warnings
        except FastGLMError as error:
            return error, heard.warnings


def _nodes(address: str) -> list[dict[str, Any]]:
    """The machines that have something to measure on. Raises `FastGLMError` if there are none."""
    found = [node for node in ray.nodes() if node["Alive"] and {"CPU", "GPU"} & node["Resources"].keys()]
    if not found:
        raise FastGLMError(f"the Ray cluster at {address} has no machine with processors: add one with `ray start`")
    return sorted(found, key=lambda node: str(node["NodeManagerHostname"]))


def _member(order: RunRequest, node: dict[str, Any], store: "Store | None") -> Member:
    name = node["NodeManagerHostname"]
    run = Run(order.model, order.variants, order.suites, order.settings(), machine={"node": name})
    return Member(node["NodeID"], name, node["Resources"], deque(tasks_of(order)), Record(run, store))


def tasks_of(order: RunRequest) -> Iterator[RunRequest]:
    """The parts of a request that can run one by one."""
    for suite in order.suites:
        for variants in [order.variants] if suite in PAIRED else [[variant] for variant in order.variants]:
            yield replace(order, suites=[suite], variants=variants)


def _work(members: list[Member], texts: bytes | None, store: "Store | None", reporter: Reporter) -> None:
    at_work: dict[Any, Member] = {}
    try:
        for member in members:
            at_work[_submit(member, texts, reporter)] = member
        while at_work:
            ended, _ = ray.wait(list(at_work), timeout=LOOK_EVERY)
            for reference in ended:
                member = at_work.pop(reference)
                _take(member, reference, store, reporter)
                if member.tasks:
                    at_work[_submit(member, texts, reporter)] = member
    except KeyboardInterrupt:
        with unstoppable():
            _cancel(at_work)
        raise


def _submit(member: Member, texts: bytes | None, reporter: Reporter) -> Any:
    task = member.tasks[0]
    reporter.at(f"{member.name}: {_words(task)}")
    gpus = 0 if task.device == "cpu" else min(member.resources.get("GPU", 0), 1)
    options = {
        "num_cpus": member.resources.get("CPU", 0),
        "num_gpus": gpus,
        "max_retries": 0,  # handled here: Ray would repeat tasks without end that run out of memory
        "scheduling_strategy": NodeAffinitySchedulingStrategy(member.node, soft=False),
    }
    return ray.remote(measure).options(**options).remote(task, texts)


def _take(member: Member, reference: Any, store: "Store | None", reporter: Reporter) -> None:
    """Handle the end of the running task: a result, a failure, or another try."""
    task = member.tasks[0]
    try:
        found, warnings = ray.get(reference)
    except LOST as error:
        if not member.lost:
            member.lost = True
            reporter.warning(f"{member.name}: {_words(task)} lost its worker ({first_line(error)}) and is run again")
            return
        found, warnings = error, []
    except RayError as error:
        found, warnings = getattr(error, "cause", None) or error, []
    member.tasks.popleft()
    member.lost = False
    for text in warnings:
        reporter.warning(f"{member.name}: {text}")
    if isinstance(found, Result):
        _merge(member.record, found)
    else:
        for variant in task.variants:
            reason = {"suite": task.suites[0], "kind": type(found).__name__, "error": first_line(found)[:300]}
            member.record.fail(variant, reason)
        reporter.warning(f"{member.name}: {_words(task)} could not be measured: {first_line(found)}")
    _keep(member.record, store)
    reporter.step()


def _merge(record: Record, result: Result) -> None:
    """Add a task's results, and its facts about the machine."""
    settings = dict(record.run.settings)
    for name, found in result.run.settings.items():
        settings[name] = {**settings.get(name, {}), **found} if isinstance(found, dict) else found
    settings["texts"] = record.run.settings["texts"]  # the task has read a copy
    facts = {name: getattr(result.run, name) for name in ("machine", "versions", "code_version")}
    record.run = replace(record.run, settings=settings, **facts)
    record.devices |= {row.variant: row.device for row in result.measurements if row.device}
    for sample in result.samples:
        repeat = sample.repeat
        while sample.metric == "load_time" and record.has(sample.variant, sample.metric, sample.params, repeat):
            repeat += 1  # other tasks have loaded this variant too
        record.add(sample.variant, sample.metric, sample.params, repeat, *sample.values)
    if result.answers:
        variant = result.answers[0].variant
        tails = graded_answer.kept_tails(map(asdict, result.measurements), variant)
        rows = graded_answer.rows(result.answers, settings.get("scored", {}).get(variant))
        record.grade(variant, result.answers, [*rows, *tails])
    for row in result.measurements:
        if row.metric == "failure":
            record.fail(row.variant, row.params)


def _keep(record: Record, store: "Store | None") -> None:
    if store:
        with waiting(record):
            store.start_run(record.run)
    record.save(everything=True)


def _cancel(at_work: Mapping[Any, Member]) -> None:
    """End the running tasks; take their measurements if they hand them over in time."""
    for reference in at_work:
        ray.cancel(reference)
    ended, others = ray.wait(list(at_work), num_returns=len(at_work), timeout=GRACE) if at_work else ([], [])
    for reference in others:
        ray.cancel(reference, force=True)
    for reference in ended:
        try:
            found, _ = ray.get(reference)
        except RayError:
            continue
        if isinstance(found, Result):
            _merge(at_work[reference].record, found)


def _finish(member: Member, cancelled: bool, store: "Store | None") -> Result:
    record = member.record
    status: Status = "cancelled" if cancelled and member.tasks else "done" if record.samples() else "failed"
    _keep(record, store)
    if store:
        with waiting(record):
            failures = "; ".join(str(row.params["error"]) for row in record.failures)
            store.finish(record.run.id, status, failures or None)
    return Result(record.run, status, record.measurements(), record.samples(), record.answers, record.trouble)


def _reserved_cpus() -> float:
    return float(ray.get_runtime_context().get_assigned_resources().get("CPU", 0))


def _words(task: RunRequest) -> str:
    return f"{', '.join(task.variants)} ({task.suites[0]})"


class _Heard:
    """A silent reporter that keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def run(self, run: str) -> None: ...

    def plan(self, steps: int) -> None: ...

    def estimate(self, each: float, least: int, most: int) -> None: ...

    def at(self, stage: str, part: float = 0.0) -> None: ...

    def step(self) -> None: ...

    def done(self, run: str, status: str) -> None: ...

    def error(self, message: str) -> None: ...
