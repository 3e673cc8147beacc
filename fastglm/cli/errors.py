"""Errors and exit statuses, equal for `fastglm` and `python -m benchmarks`.

An error is one clear line on standard error, with a traceback only under `--debug`.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from fastglm.cli.options import wants_debug
from fastglm.errors import CancelledError, FastGLMError, UsageError, shortened

FAILED, WRONG_USAGE, STOPPED = 1, 2, 130  # shells report 130 after Ctrl-C


def run(app: typer.Typer, program: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status: 0, 1 if work failed, 2 on wrong usage, 130 after Ctrl-C.

    Args:
        program: its name in help and errors.
        arguments: those of the command; None takes the process's own.
    """
    wants_debug(False)
    try:
        command = typer.main.get_command(app)
        given = None if arguments is None else list(arguments)
        status = command.main(given, prog_name=program, standalone_mode=False)
        sys.stdout.flush()
        return _fail("Stopped.", STOPPED) if status == STOPPED else status or 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail("Stopped.", STOPPED)
    except BrokenPipeError:  # the reader of the output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except CancelledError as error:
        return _fail(str(error), STOPPED)
    except FastGLMError as error:
        return _fail("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), _status(error))
    except OSError as error:
        return _fail(f"error: {error.filename or 'a file'}: {error.strerror or error}.", FAILED)
    except Exception as error:
        return _fail_unexpectedly(error, program)


@contextmanager
def telling(say: Callable[[str], None]) -> Iterator[None]:
    """A block whose error is reported by `say` instead of standard error; the exit status stays the same."""
    try:
        yield
    except CancelledError:
        raise
    except FastGLMError as error:
        _show_traceback()
        say(shortened(str(error)))
        raise typer.Exit(_status(error)) from error


def want_command(context: typer.Context) -> None:
    """Print the help if no command is named, which is wrong usage."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())  # printed by Rich itself, if installed
        raise typer.Exit(WRONG_USAGE)


def _status(error: FastGLMError) -> int:
    return WRONG_USAGE if isinstance(error, UsageError) else FAILED


def _fail_unexpectedly(error: Any, program: str) -> int:
    """Report an unexpected error: Typer's own errors mean wrong usage, all others a mistake in this program."""
    if hasattr(error, "format_message"):
        path = error.ctx.command_path if getattr(error, "ctx", None) else program
        line = " ".join(error.format_message().split()).rstrip(".")
        return _fail(f"error: {line}. See {path} --help.", error.exit_code)
    first_line = str(error).strip().partition("\n")[0]
    return _fail(f"error: {type(error).__name__}: {first_line} (--debug shows where).", FAILED)


def _fail(line: str, status: int) -> int:
    _show_traceback()
    print("\n".join(map(shortened, line.split("\n"))), file=sys.stderr)
    return status


def _show_traceback() -> None:
    if wants_debug() and sys.exc_info()[0]:
        traceback.print_exc()
