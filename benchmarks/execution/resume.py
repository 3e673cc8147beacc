"""Resuming of an interrupted run: its measurements are kept, and only the rest is measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environment.machine import code_version, machine, versions
from benchmarks.environment.run_facts import machine_name
from benchmarks.execution.request import RunRequest
from benchmarks.run.progress import Reporter
from benchmarks.run.record import Result
from benchmarks.run.workload import Workload
from benchmarks.store.find_run import find_run
from benchmarks.store.run import Run
from fastglm.errors import UsageError
from fastglm.evaluate.arithmetic import Arithmetic

if TYPE_CHECKING:
    from benchmarks.store.store import Store


def resume(store: "Store", text: str, reporter: Reporter) -> Result:
    """Measure the missing part of the run whose id begins with `text`.

    Raises:
        UsageError: the run is complete, still running, or from another machine or code version, so that new numbers
        would not match.
    """
    row = find_run(store.runs(), text)
    name, settings = row["id"], row["settings"]
    if row["status"] in ("done", "running"):
        raise UsageError(f"run {name} is {row['status']}: there is nothing to resume")
    if settings.get("peers"):
        raise UsageError(f"run {name} compares with peers, whose models are gone: start a new one")
    if settings.get("endpoint"):
        raise UsageError(f"run {name} measured the server at {settings['endpoint']}: start a new one")
    for what, then, now in _circumstances(row):
        if then != now:
            raise UsageError(f"run {name} was measured on another {what} ({then}, here {now}): start a new one")
    order = _order(row)
    run = Run(
        row["model"],
        row["variants"],
        row["suites"],
        dict(settings),
        id=name,
        started=row["started"].to_pydatetime(),
        command=row["command"],
        machine=row["machine"],
        versions=row["versions"],
        code_version=row["code_version"],
    )
    return order.carry_out(store, reporter, run)


def _order(row: Mapping[str, Any]) -> RunRequest:
    """The request of a run. Raises `UsageError` if the run does not contain all of it, like one read from a table."""
    settings = row["settings"]
    try:
        workload = Workload.of(settings)
        texts = Path(settings["texts"]) if settings["texts"] else None
        device, threads = settings["device"], settings["threads"]
    except KeyError as missing:
        raise UsageError(f"run {row['id']} does not say its {missing.args[0]}: start a new one") from missing
    arithmetic = Arithmetic(settings.get("arithmetic", Arithmetic.exact))
    return RunRequest(row["model"], row["variants"], row["suites"], workload, device, texts, threads, arithmetic)


def _circumstances(row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Conditions that must be equal: name, former value, present value."""
    here = machine(row["settings"].get("device", "cpu"))
    then, now = (
        ", ".join(f"{name} {version}" for name, version in found.items()) for found in (row["versions"], versions())
    )
    return [
        ("machine", machine_name(row["machine"]), machine_name(here)),
        ("code version", row["code_version"], code_version()),
        ("set of libraries", then, now),
    ]
