"""`python -m benchmarks serving`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import files
from benchmarks.cli.options import AnswerTokens, JsonFile, StoreUrl, open_store, tell
from fastglm.cli.errors import telling
from fastglm.cli.options import Debug, Progress
from fastglm.errors import FastGLMError
from fastglm.progress.progress import Show


def serving(
    endpoint: Annotated[str, typer.Option(metavar="URL", help="An OpenAI server, such as http://127.0.0.1:8000.")],
    model: Annotated[str | None, typer.Option(help="Its name there. [default: the only one]")] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Holds the server's key.")] = None,
    clients: Annotated[
        str, typer.Option(help="Numbers of clients who ask one request after another; '' for none.")
    ] = "1,2,4,8,16",
    rates: Annotated[
        str, typer.Option(help="Requests a second that arrive at random (Poisson), such as 0.5,1,2.")
    ] = "",
    prompts: Annotated[
        str, typer.Option(help="About so many tokens, equally often, or with parts such as 128:3,512:1.")
    ] = "32,128,512",
    answer_tokens: AnswerTokens = "64",
    slo: Annotated[
        str, typer.Option(help="Limits of goodput: time to the first token, and mean time per token.")
    ] = "ttft=1s,tpot=100ms",
    repeats: Annotated[str, typer.Option(help="Of every level; 5 or more for an interval.")] = "5",
    json: JsonFile = None,
    progress: Progress = Show.bar,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Measure an OpenAI server under load: throughput, times and goodput by number of clients, or by rate of arrivals.

    Each level lasts 10 seconds or more. Not counted are the time until every client has had an answer, and the time
    after that in which the last counted requests end.
    """
    from benchmarks.run.progress import reporter_for

    reporter = reporter_for(progress)
    with telling(reporter.error):
        from benchmarks.execution.request import read_number
        from benchmarks.run.workload import Workload
        from benchmarks.serving.load import Load

        try:
            from benchmarks.execution.endpoint import measure_endpoint
            from benchmarks.serving.client import Endpoint, read_key
        except ModuleNotFoundError as error:
            raise FastGLMError(f"serving needs {error.name}: pip install {error.name}") from error

        workload = Workload(
            answer_tokens=read_number(answer_tokens, "--answer-tokens"),
            repeats=read_number(repeats, "--repeats"),
            load=Load.read(clients, rates, prompts, slo),
        )
        asked = Endpoint.read(endpoint, model, read_key(key_file) if key_file else None)
        if json:
            files.check_json(json)
        from benchmarks.report import report

        kept_in = open_store(store)
        result = measure_endpoint(asked, workload, kept_in, reporter)
        if json:
            report.write_json(json, result)
        tell(result, kept_in, reporter)
