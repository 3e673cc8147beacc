"""`python -m benchmarks serving`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import files
from benchmarks.cli.options import AnswerTokens, Beside, JsonFile, StoreUrl, open_store, tell
from benchmarks.cli.peers import tell_ratios
from fastglm.cli.errors import telling
from fastglm.cli.options import Debug, Progress
from fastglm.errors import FastGLMError, UsageError
from fastglm.progress.progress import Show

if TYPE_CHECKING:
    from benchmarks.run.progress import Reporter
    from benchmarks.run.workload import Workload
    from benchmarks.serving.load import Load

VARIANTS = "original,fast,int8,int4"

EndpointUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="Measure the OpenAI server there, such as http://127.0.0.1:8000.")
]
Model = Annotated[
    str | None, typer.Option(help="As for run, or its name at --endpoint. [default: demo, or the endpoint's only one]")
]
Served = Annotated[
    str | None, typer.Option(help=f"Served one after the other, with commas between. [default: {VARIANTS}]")
]
Peers = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="Others' servers, in turn with these, on the CPU: llama-server-q4_0, transformers-serve."
    ),
]
Device = Annotated[str | None, typer.Option(help="Of these servers, as for run. [default: auto]")]
KeyFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Holds the key of --endpoint.")]
Clients = Annotated[str, typer.Option(help="Numbers of clients who ask one request after another; '' for none.")]
Rates = Annotated[str, typer.Option(help="Requests a second that arrive at random (Poisson), such as 0.5,1,2.")]
Prompts = Annotated[str, typer.Option(help="About so many tokens, equally often, or with parts such as 128:3,512:1.")]
Slo = Annotated[str, typer.Option(help="Limits of goodput: time to the first token, and mean time per token.")]
Repeats = Annotated[str, typer.Option(help="Of every level of load; 5 or more for an interval.")]


def serving(
    endpoint: EndpointUrl = None,
    model: Model = None,
    variants: Served = None,
    peers: Peers = None,
    device: Device = None,
    key_file: KeyFile = None,
    clients: Clients = "1,2,4,8,16",
    rates: Rates = "",
    prompts: Prompts = "32,128,512",
    answer_tokens: AnswerTokens = "64",
    slo: Slo = "ttft=1s,tpot=100ms",
    repeats: Repeats = "5",
    beside: Beside = False,
    json: JsonFile = None,
    progress: Progress = Show.bar,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Measure servers under load: throughput, times and goodput by number of clients, or by rate of arrivals. The
    servers are `fastglm serve` with each variant, or any OpenAI server.

    Each level lasts 10 seconds or more. Not counted are the time until every client has had an answer, and the time
    after that in which the last counted requests end.
    """
    from benchmarks.run.device import beside_servers
    from benchmarks.run.progress import reporter_for

    reporter = reporter_for(progress)
    with telling(reporter.error), beside_servers(beside):
        from benchmarks.execution.request import RunRequest
        from benchmarks.report import report
        from benchmarks.serving.load import Load

        try:
            from benchmarks.execution.endpoint import measure_endpoint
            from benchmarks.serving.client import Endpoint, read_key
        except ModuleNotFoundError as error:
            raise FastGLMError(f"serving needs {error.name}: pip install {error.name}") from error

        workload = _workload(Load.read(clients, rates, prompts, slo), answer_tokens, repeats)
        if json:
            files.check_json(json)
        if endpoint is None:
            if key_file:
                raise UsageError("--key-file is for --endpoint: the servers of variants need no key")
            served = model or "demo", variants or VARIANTS, workload
            if peers:
                _with_peers(served, peers, device, store, reporter, json)
                return
            order = RunRequest.of_servers(*served, device or "auto")
            kept_in = open_store(store)
            result = order.carry_out(kept_in, reporter)
        else:
            if variants or device or beside or peers:
                raise UsageError(
                    "--variants, --peers, --device and --beside are for servers started here: leave them out with "
                    "--endpoint"
                )
            asked = Endpoint.read(endpoint, model, read_key(key_file) if key_file else None)
            kept_in = open_store(store)
            result = measure_endpoint(asked, workload, kept_in, reporter)
        if json:
            report.write_json(json, result)
        tell(result, kept_in, reporter)


def _workload(load: "Load", answer_tokens: str, repeats: str) -> "Workload":
    from benchmarks.execution.request import read_number
    from benchmarks.run.workload import Workload

    counts = read_number(answer_tokens, "--answer-tokens"), read_number(repeats, "--repeats")
    return Workload(load.mix.lengths, *counts, load=load)


def _with_peers(
    served: "tuple[str, str, Workload]",
    peers: str,
    device: str | None,
    store: str | None,
    reporter: "Reporter",
    json: Path | None,
) -> None:
    """Measure servers of variants and of peers in turn, and tell the ratios of their throughput."""
    from benchmarks.environment.machine import physical_cores
    from benchmarks.execution.request import RunRequest
    from benchmarks.peers.comparison import select
    from benchmarks.peers.registry import all_servers

    if device not in (None, "cpu"):
        raise UsageError("--peers are measured on the CPU: leave --device out")
    chosen = select(peers, all_servers())
    order = RunRequest.of_servers(*served, "cpu", physical_cores())
    tell_ratios(order, chosen, store, reporter, json)
