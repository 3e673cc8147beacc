"""A run that measures a server somewhere, over its OpenAI interface."""

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

from benchmarks.environment.machine import machine
from benchmarks.execution.runner import execute
from benchmarks.run.progress import Reporter
from benchmarks.run.record import Result
from benchmarks.run.workload import TEXT, Workload
from benchmarks.serving.client import ELSEWHERE, Client, Endpoint
from benchmarks.serving.probe import probe
from benchmarks.store.run import Run
from fastglm.errors import UsageError
from fastglm.hosting.host import Host
from fastglm.progress.progress import OnProgress

if TYPE_CHECKING:
    from benchmarks.store.store import Store


def measure_endpoint(endpoint: Endpoint, workload: Workload, store: "Store | None", reporter: Reporter) -> Result:
    """Measure a server, under its address in place of a variant's name.

    Raises:
        EndpointError: the server cannot be measured.
        UsageError: the server has several models, and none is named.
    """
    reporter.at(f"looking at {endpoint.url}")
    run = Run("", [endpoint.url], ["serving"], machine=machine("cpu"))
    endpoint = asyncio.run(_look(endpoint, run.id))
    settings = {"device": ELSEWHERE, "endpoint": endpoint.url, **workload.as_dict(), **workload.load.as_dict()}
    run = Run(str(endpoint.model), run.variants, run.suites, settings, run.id, machine=run.machine)
    return execute(run, workload, {}, [], _no_host, store, reporter, server=lambda *_: nullcontext(endpoint))


async def _look(endpoint: Endpoint, run: str) -> Endpoint:
    """The endpoint with its model's name, if it answers."""
    async with Client(endpoint) as client:
        return (await probe(client, TEXT.read_text(encoding="utf-8"), f"{run} ")).endpoint


def _no_host(variant: str, progress: OnProgress) -> Host:
    raise UsageError(f"{variant} is measured by the suite serving alone")
