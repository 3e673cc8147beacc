"""The command line: `python -m benchmarks run | list | promises`."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import report
from benchmarks.progress import BarReporter, JsonReporter, Reporter
from fastglm.errors import FastGLMError, UsageError

if TYPE_CHECKING:
    from benchmarks.store import Store

app = typer.Typer(
    help="Measure variants of ChatGLM on this machine.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Results database; `none` keeps no results. [default: FASTGLM_DATABASE_URL, or the home]"
    ),
]


class Show(StrEnum):
    """How progress is told."""

    bar = "bar"
    json = "json"


@app.command()
def run(
    model: Annotated[str, typer.Option(help="demo, a folder, a hub id, shape:chatglm-6b[@LAYERS].")] = "demo",
    variants: Annotated[str, typer.Option(help="Names with commas between.")] = "original,fast,int8,int4",
    suite: Annotated[str, typer.Option(help="latency, memory, or both with a comma between.")] = "latency",
    prompt_tokens: Annotated[str, typer.Option(help="Prompt lengths with commas between.")] = "32,128",
    answer_tokens: Annotated[str, typer.Option(help="Length of every answer.")] = "64",
    repeats: Annotated[str, typer.Option(help="Answers of each kind; 5 or more for a useful interval.")] = "5",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write run, rows and raw samples there.")] = None,
    progress: Annotated[Show, typer.Option(help="A bar, or JSON lines on standard output.")] = Show.bar,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Measure variants in turn and keep the results."""
    reporter: Reporter = JsonReporter() if progress is Show.json else BarReporter()
    with _errors(debug, reporter.error):
        from benchmarks.order import Order

        order = Order.read(model, variants, suite, prompt_tokens, answer_tokens, repeats, device)
        if json:
            report.check_json(json)
        result = order.carry_out(_store(store), reporter)
        if json:
            report.write_json(json, result)
        reporter.done(result.run.id, result.status)
        if progress is Show.bar:
            print(report.table(result.measurements))
        if result.trouble:
            raise result.trouble
        if result.status != "done":
            raise typer.Exit(1)


@app.command("list")
def list_runs(store: StoreUrl = None, debug: Debug = False) -> None:
    """List the runs in the store, newest first."""
    with _errors(debug):
        opened = _store(store)
        if opened is None:
            raise UsageError("there is nothing to list without a store: leave --store out")
        runs = opened.runs()
        for row in runs.to_dict("records"):
            started = f"{row['started']:%Y-%m-%d %H:%M} UTC"
            what = "  ".join([row["model"], ",".join(row["variants"]), ",".join(row["suites"])])
            print(f"{row['id']}  {started}  {row['status']:11}  {what}")
        if runs.empty:
            print("no runs yet: python -m benchmarks run", file=sys.stderr)


@app.command()
def promises(
    only: Annotated[str | None, typer.Option(metavar="NAMES", help="Some of them, with commas between.")] = None,
    debug: Debug = False,
) -> None:
    """Measure what this project promises about time and memory; exit status 1 if a promise is missed."""
    with _errors(debug):
        from benchmarks.promises import keep

        if not keep(only):
            raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 when work failed or was stopped, 2 on wrong usage."""
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]  # the parser's own errors, wherever typer keeps it
    try:
        return int(app(arguments, prog_name="python -m benchmarks", standalone_mode=False) or 0)
    except typer.Exit as ended:
        return ended.exit_code
    except usage_error as error:
        print(f"error: {' '.join(error.format_message().split())}", file=sys.stderr)  # type: ignore[attr-defined]
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("error: stopped", file=sys.stderr)
        return 1


def _store(url: str | None) -> "Store | None":
    if url == "none":
        return None
    try:
        from benchmarks.store import Store
    except ModuleNotFoundError as error:
        raise FastGLMError(f"the results store needs {error.name}: install it, or add --store none") from error
    return Store(url)


def _say(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


@contextmanager
def _errors(debug: bool, say: Callable[[str], None] = _say) -> Iterator[None]:
    """One clear line and the exit status."""
    try:
        yield
    except FastGLMError as error:
        if debug:
            traceback.print_exc()
        say(str(error))
        raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error
