"""What the commands share: common options, the store, errors in a line, and how a run ended."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.report import report
from benchmarks.run.progress import BarReporter, Reporter
from fastglm.errors import FastGLMError, UsageError, shortened

if TYPE_CHECKING:
    from benchmarks.run.record import Result
    from benchmarks.store.store import Store

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Results database; `none` keeps no results. [default: FASTGLM_DATABASE_URL, or the home]"
    ),
]


def tell(result: "Result", kept_in: "Store | None", reporter: Reporter, more: str = "") -> None:
    """How a run ended, its rows, and `more`.

    Raises `FastGLMError` where it could not be kept, `Exit` unless it is done.
    """
    reporter.done(result.run.id, result.status)
    if isinstance(reporter, BarReporter):
        print(report.table(result.measurements), more, sep="\n" if more else "")
    if result.trouble and kept_in:
        from benchmarks.cli.fallback import keep_here

        raise keep_here(result, kept_in) or result.trouble
    if result.status != "done":
        raise typer.Exit(1)


def open_store(url: str | None) -> "Store | None":
    """The store of this URL; None for `none`. Raises `FastGLMError` where a package is missing."""
    if url == "none":
        return None
    try:
        from benchmarks.store.store import Store
    except ModuleNotFoundError as error:
        raise FastGLMError(f"the results store needs {error.name}: install it, or add --store none") from error
    return Store(url)


def opened_store(url: str | None) -> "Store":
    """The store, for commands that are nothing without one."""
    store = open_store(url)
    if store is None:
        raise UsageError("there is nothing to read without a store: leave --store out")
    return store


def _say(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


@contextmanager
def errors(debug: bool, say: Callable[[str], None] = _say) -> Iterator[None]:
    """One clear line and the exit status."""
    try:
        yield
    except FastGLMError as error:
        if debug:
            traceback.print_exc()
        say(shortened(str(error)))
        raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error
