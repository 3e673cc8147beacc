"""The command line: `python -m benchmarks run | resume | list | compare | report | export | import | delete | …`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import files
from benchmarks.cli.options import (
    AnswerTokens,
    Beside,
    JsonFile,
    PromptTokens,
    RunId,
    StoreUrl,
    Variants,
    open_store,
    opened_store,
    tell,
)
from benchmarks.cli.peers import peers
from benchmarks.cli.reference import reference
from benchmarks.cli.serving import serving
from fastglm.cli import errors
from fastglm.cli.errors import telling, want_command
from fastglm.cli.options import Debug, Progress
from fastglm.errors import FastGLMError, UsageError
from fastglm.progress.progress import Show

if TYPE_CHECKING:
    from benchmarks.execution.request import RunRequest
    from benchmarks.run.progress import Reporter
    from benchmarks.store.store import Store

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(reference, name="reference")


@app.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """Measure variants of ChatGLM on this machine."""
    want_command(context)


Precision = Annotated[
    str | None,
    typer.Option(
        help="latency: repeat until the 95 % intervals of decode_rate and its ratios are so narrow, "
        "± relative to the value. [default: 2%]",
    ),
]
Budget = Annotated[
    str | None, typer.Option(help="latency: time for these repeats, after 6 of them: 90s, 5m, 1h. [default: 5m]")
]
Repeats = Annotated[
    str | None,
    typer.Option(help="In place of --precision and --budget: answers of each kind; 5 or more for an interval."),
]
Texts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help='quality: ask your own, a {"prompt": …, "answer": …} a line, instead.'),
]
Arithmetic = Annotated[
    str,
    typer.Option(
        help="quality: of perplexity, KL and likeliest tokens. exact: activations are not rounded, so that only "
        "the weights' error shows. decoding: as answers run. Answers themselves always run so."
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Measure on every machine of the Ray cluster there, a run for each."),
]
ResultsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the figures there; rows that it has already are replaced.")
]


@app.command()
def run(
    model: Annotated[str, typer.Option(help="demo, demo-glm, a folder, a hub id, shape:chatglm-6b[@LAYERS].")] = "demo",
    variants: Variants = "original,fast,int8,int4",
    suite: Annotated[
        str,
        typer.Option(
            help="latency, throughput, memory, quality, load, with commas between; serving has a command of its own."
        ),
    ] = "latency",
    prompt_tokens: PromptTokens = "32,128",
    answer_tokens: AnswerTokens = "64",
    precision: Precision = None,
    budget: Budget = None,
    repeats: Repeats = None,
    batches: Annotated[str, typer.Option(help="throughput: sequences at once.")] = "1,2,4,8,16",
    questions: Annotated[str, typer.Option(help="quality: questions of each skill, split and language.")] = "24",
    texts: Texts = None,
    arithmetic: Arithmetic = "exact",
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, or several cards: cuda:0,cuda:1.")
    ] = "auto",
    beside: Beside = False,
    json: JsonFile = None,
    progress: Progress = Show.bar,
    ray: Ray = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Measure variants in turn and keep the results."""
    from benchmarks.report import report
    from benchmarks.run.device import beside_servers
    from benchmarks.run.progress import reporter_for

    reporter = reporter_for(progress)
    with telling(reporter.error), beside_servers(beside):
        from benchmarks.execution.request import RunRequest

        asked = (model, variants, suite, prompt_tokens, answer_tokens, repeats, device, questions, texts)
        order = RunRequest.read(*asked, precision, budget, batches, arithmetic=arithmetic)
        if json:
            files.check_json(json)
        if beside and ray:
            raise UsageError("--beside is for one machine: leave it out with --ray")
        if json and ray:
            raise UsageError("--json is for one machine: leave it out with --ray, and export the runs afterwards")
        kept_in = open_store(store)
        if ray:
            _measure_on_cluster(order, ray, kept_in, reporter)
            return
        result = order.carry_out(kept_in, reporter)
        if json:
            report.write_json(json, result)
        tell(result, kept_in, reporter)


@app.command("resume")
def resume_run(
    run: RunId,
    beside: Beside = False,
    progress: Progress = Show.bar,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Resume a run that was cancelled or broke off: measure its missing part."""
    from benchmarks.run.device import beside_servers
    from benchmarks.run.progress import reporter_for

    reporter = reporter_for(progress)
    with telling(reporter.error), beside_servers(beside):
        kept_in = opened_store(store)
        from benchmarks.execution.resume import resume

        tell(resume(kept_in, run, reporter), kept_in, reporter)


@app.command("list")
def list_runs(store: StoreUrl = None, debug: Debug = False) -> None:
    """List the runs in the store, newest first."""
    opened = open_store(store)
    if opened is None:
        raise UsageError("there is nothing to list without a store: leave --store out")
    runs = opened.runs()
    if runs.empty:
        print("no runs yet: python -m benchmarks run", file=sys.stderr)
        return
    from benchmarks.report.report import aligned

    lines = [("run", "started", "status", "model", "variants", "suites")]
    for row in runs.to_dict("records"):
        started, names = f"{row['started']:%Y-%m-%d %H:%M} UTC", (",".join(row[name]) for name in lines[0][4:])
        lines.append((row["id"], started, row["status"], row["model"], *names))
    print("\n".join(aligned(lines)))


@app.command("compare")
def compare_runs(
    a: Annotated[str, typer.Argument(metavar="A", help="RUN or RUN:VARIANT; a beginning of a run's id is enough.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What is compared with A.")],
    threshold: Annotated[
        float | None, typer.Option(help="Exit status 1 where B is surely worse by more than this (0.05: 5 %).")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the comparison there.")] = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Say where B is better or worse than A at 95 %: two runs, or two variants of one."""
    from benchmarks.report.compare import compare

    if threshold is not None and not 0 <= threshold < 1:
        raise UsageError("--threshold is a share below 1, such as 0.05 for 5 %")
    if json:
        files.check_json(json)
    comparison = compare(opened_store(store), a, b)
    print(comparison.table())
    worse = threshold is not None and comparison.worse_by(threshold)
    if json:
        files.write_data(json, comparison.as_dict() | {"threshold": threshold, "worse": worse})
    if worse:
        raise typer.Exit(1)


@app.command("report")
def report_run(
    run: RunId,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with charts there.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write a Markdown table there.")] = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Report a run as a page that needs no network, in Markdown, or else as a table here."""
    from benchmarks.environment import run_facts
    from benchmarks.report import report
    from benchmarks.store import find_run

    for path, option in ((out, "--out"), (markdown, "--markdown")):
        if path:
            files.check_file(path, option)
    opened = opened_store(store)
    found = find_run.find_run(opened.runs(), run)
    rows = find_run.measurements_of(opened, found["id"])
    if out:
        try:
            from benchmarks.report.html import page
        except ModuleNotFoundError as error:
            raise FastGLMError(f"--out needs {error.name}: install it, or use --markdown") from error
        files.write_text(out, page(found, rows, opened.samples([found["id"]])))
    if markdown:
        remarks = [("remark", str(remark)) for remark in run_facts.remarks(found)]
        files.write_text(markdown, report.markdown(found["model"], [*run_facts.facts(found), *remarks], rows))
    if not out and not markdown:
        print(report.table(rows))


@app.command("export")
def export_runs(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .json, .csv or .parquet.")],
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Their ids. [default: all]")] = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Write runs to a file: JSON holds everything, CSV and Parquet one row per measurement."""

    files.check_file(file, "FILE")
    opened = opened_store(store)
    from benchmarks.exchange.exchange import export_runs as export

    print(f"{export(opened, file, runs or None)} runs written to {file}")


@app.command("import")
def import_runs(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .json file of export.")],
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Merge the runs of a file into the store; exit status 1 if the store has other numbers for one of them."""
    opened = opened_store(store)
    from benchmarks.exchange.exchange import import_runs as merge

    done = merge(opened, file)
    print(f"runs of {file}: {done}")
    if done.refused:
        raise FastGLMError(f"the store has other numbers for {', '.join(done.refused)}, and keeps them")


@app.command("delete")
def delete_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Their ids.")],
    undo: Annotated[bool, typer.Option("--undo", help="Bring them back.")] = False,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Delete runs; they can be restored for 30 days."""
    opened = opened_store(store)
    if undo:
        opened.restore(runs)
    else:
        opened.delete(runs)
        print(f"to undo: python -m benchmarks delete --undo {' '.join(runs)}", file=sys.stderr)


@app.command("work")
def work_off(debug: Debug = False) -> None:
    """Run the app's queued jobs on this machine until none is left; the app starts this by itself."""
    opened = opened_store(None)
    from benchmarks.jobs.worker import work

    work(opened)


@app.command()
def promises(
    only: Annotated[str | None, typer.Option(metavar="NAMES", help="Some of them, with commas between.")] = None,
    beside: Beside = False,
    json: ResultsFile = None,
    debug: Debug = False,
) -> None:
    """Measure what this project promises about time and memory; exit status 1 if a promise is missed."""

    if json:
        files.check_json(json)
    from benchmarks.claims.claims import keep
    from benchmarks.run.device import beside_servers

    with beside_servers(beside):
        is_kept = keep(only, json)
    if not is_kept:
        raise typer.Exit(1)


@app.command()
def products(beside: Beside = False, json: ResultsFile = None, debug: Debug = False) -> None:
    """Measure the speed of packed weights on this CPU, relative to fp32."""

    if json:
        files.check_json(json)
    from benchmarks.claims import matmul
    from benchmarks.run.device import beside_servers

    with beside_servers(beside):
        matmul.tell(json)


@app.command()
def fill(debug: Debug = False) -> None:
    """Fill the tables of BENCHMARKS.md and the READMEs from the files in benchmarks/results."""
    from benchmarks.claims.fill_tables import PAGES, ROOT, fill

    for name in PAGES:
        print(f"{name}: {'filled anew' if fill(ROOT / name) else 'as it was'}")


app.command()(peers)
app.command()(serving)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return errors.run(app, "python -m benchmarks", arguments)


def _measure_on_cluster(order: "RunRequest", address: str, kept_in: "Store | None", reporter: "Reporter") -> None:
    """Measure on every machine of the cluster, and report each run's end. Raises as `tell` does, after all are
    reported.
    """
    from benchmarks.run.progress import BarReporter

    try:
        from benchmarks.execution.ray_cluster import carry_out
    except ModuleNotFoundError as error:
        raise FastGLMError(f"--ray needs {error.name}: pip install {error.name}") from error
    ends: list[Exception] = []
    for result in carry_out(order, address, kept_in, reporter):
        if isinstance(reporter, BarReporter):
            print(f"{result.run.machine['node']}: run {result.run.id}")
        try:
            tell(result, kept_in, reporter)
        except (FastGLMError, typer.Exit) as error:
            ends.append(error)
    if ends:
        raise next((end for end in ends if isinstance(end, FastGLMError)), ends[0])
