"""Parts that the commands share: common options, the store, and the report of a run's end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastglm.cli.errors import FAILED, STOPPED
from fastglm.errors import FastGLMError, UsageError

if TYPE_CHECKING:
    from benchmarks.run.progress import Reporter
    from benchmarks.run.record import Result
    from benchmarks.store.store import Store

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A beginning of its id is enough.")]
Variants = Annotated[str, typer.Option(help="Ours, with commas between.")]
PromptTokens = Annotated[str, typer.Option(help="Prompt lengths with commas between.")]
AnswerTokens = Annotated[str, typer.Option(help="Length of every answer.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write run, rows and raw samples there; of peers, ratios.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Results database; `none` keeps no results. [default: FASTGLM_DATABASE_URL, or the home]"
    ),
]
Beside = Annotated[
    bool,
    typer.Option("--beside", help="Measure beside a running `fastglm serve` too, and mark the figures as disturbed."),
]


def tell(result: "Result", kept_in: "Store | None", reporter: "Reporter", more: str = "") -> None:
    """Report a run's end, its rows, and `more`.

    Raises `FastGLMError` if the run could not be stored, `Exit` unless it is done.
    """
    from benchmarks.report import report
    from benchmarks.run.progress import BarReporter

    reporter.done(result.run.id, result.status)
    if isinstance(reporter, BarReporter):
        print(report.table(result.measurements), more, sep="\n" if more else "")
    if result.trouble and kept_in:
        from benchmarks.cli.fallback import keep_here

        raise keep_here(result, kept_in) or result.trouble
    if result.status != "done":
        raise typer.Exit(STOPPED if result.status == "cancelled" else FAILED)


def open_store(url: str | None) -> "Store | None":
    """Open the store of a URL; None for `none`. Raises `FastGLMError` if a package is missing."""
    if url == "none":
        return None
    try:
        from benchmarks.store.store import Store
    except ModuleNotFoundError as error:
        raise FastGLMError(f"the results store needs {error.name}: install it, or add --store none") from error
    return Store(url)


def opened_store(url: str | None) -> "Store":
    """Open the store, for commands that need one."""
    store = open_store(url)
    if store is None:
        raise UsageError("there is nothing to read without a store: leave --store out")
    return store
