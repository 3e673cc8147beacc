"""`python -m benchmarks peers`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import files
from benchmarks.cli.options import AnswerTokens, Beside, JsonFile, PromptTokens, StoreUrl, Variants, open_store, tell
from fastglm.cli.errors import telling
from fastglm.cli.options import Debug, Progress
from fastglm.errors import UsageError
from fastglm.progress.progress import Show

if TYPE_CHECKING:
    from benchmarks.execution.request import RunRequest
    from benchmarks.peers.comparison import AnyPeer
    from benchmarks.run.progress import Reporter


def peers(
    model: Annotated[str, typer.Option(help="Its sizes are compared: demo, shape:chatglm-6b[@LAYERS], a folder.")] = (
        "shape:chatglm-6b@5"
    ),
    variants: Variants = "original,fast,int8,int4",
    peers: Annotated[
        str, typer.Option(help="Names, or beginnings of some, with commas between; bnb is there too, and slow.")
    ] = "llama.cpp,chatglm.cpp,openvino,torchao,published",
    prompt_tokens: PromptTokens = "128,512",
    answer_tokens: AnswerTokens = "32",
    repeats: Annotated[str, typer.Option(help="Answers of each kind; 5 or more for an interval.")] = "7",
    threads: Annotated[int | None, typer.Option(help="Of everyone. [default: the cores at hand]", min=1)] = None,
    published: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The published code: modeling_chatglm.py and config.json.")
    ] = None,
    published_python: Annotated[
        str, typer.Option(metavar="PYTHON", help="One whose transformers still runs that code.")
    ] = "python",
    beside: Beside = False,
    json: JsonFile = None,
    progress: Progress = Show.bar,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Measure other programs with a model of the same sizes and random weights, on the CPU, in turn with this one."""
    from benchmarks.run.device import beside_servers
    from benchmarks.run.progress import reporter_for

    reporter = reporter_for(progress)
    with telling(reporter.error), beside_servers(beside):
        from benchmarks.environment.machine import physical_cores
        from benchmarks.execution.request import RunRequest
        from benchmarks.peers.comparison import select
        from benchmarks.peers.registry import all_peers

        order = RunRequest.read(
            model,
            variants,
            "latency",
            prompt_tokens,
            answer_tokens,
            repeats,
            "cpu",
            threads=threads or physical_cores(),
        )
        chosen = select(peers, all_peers(published, published_python))
        if both := set(order.variants) & chosen.keys():
            raise UsageError(f"{', '.join(sorted(both))} is both a variant and a peer: name it once")
        if json:
            files.check_json(json)
        tell_ratios(order, chosen, store, reporter, json)


def tell_ratios(
    order: "RunRequest", chosen: "Mapping[str, AnyPeer]", store: str | None, reporter: "Reporter", json: Path | None
) -> None:
    """Measure variants and peers in turn, keep the results, and tell the ratios between them."""
    from benchmarks.peers import ratios
    from benchmarks.peers.comparison import compare
    from benchmarks.report import report

    kept_in = open_store(store)
    result = compare(order, chosen, kept_in, reporter)
    found = ratios.ratios(result.samples, order.variants, list(chosen))
    if json:
        report.write_json(json, result, ratios=[ratio.as_dict() for ratio in found])
    tell(result, kept_in, reporter, ratios.table(found))
