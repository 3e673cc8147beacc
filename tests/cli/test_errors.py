"""Both command lines end in the same way: by one table of errors, exit statuses and lines on standard error."""

from collections.abc import Callable

import pytest
import typer

import benchmarks.cli.commands
import fastglm.cli.commands
from fastglm.cli.errors import telling
from fastglm.errors import CancelledError, CheckpointError, UsageError

Main = Callable[[list[str]], int]
COMMANDS = {
    "fastglm": (fastglm.cli.commands, fastglm.cli.commands.main),
    "python -m benchmarks": (benchmarks.cli.commands, benchmarks.cli.commands.main),
}

with_note = CheckpointError("it breaks")
with_note.add_note("it goes on with the same command")

TABLE = [
    (None, 0, ""),
    (CheckpointError("it breaks"), 1, "error: it breaks\n"),
    (with_note, 1, "error: it breaks\nit goes on with the same command\n"),
    (OSError(13, "Permission denied", "/x"), 1, "error: /x: Permission denied.\n"),
    (ZeroDivisionError("a bug\nin two lines"), 1, "error: ZeroDivisionError: a bug (--debug shows where).\n"),
    (typer.Exit(1), 1, ""),
    (UsageError("it cannot be"), 2, "error: it cannot be\n"),
    (KeyboardInterrupt(), 130, "Stopped.\n"),
    (typer.Exit(130), 130, "Stopped.\n"),
    (CancelledError("Stopped. It goes on."), 130, "Stopped. It goes on.\n"),
]


@pytest.fixture(params=list(COMMANDS))
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ending(error: BaseException | None, program: str, monkeypatch: pytest.MonkeyPatch) -> Main:
    """A program with one command, `break`, that ends with an error."""
    module, main = COMMANDS[program]
    app = typer.Typer(add_completion=False)

    @app.callback()
    def start() -> None:
        """Starts."""

    @app.command("break")
    def command(debug: fastglm.cli.commands.Debug = False) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(module, "app", app)
    return main


@pytest.mark.parametrize(
    ("error", "status", "said"), TABLE, ids=[f"{type(e).__name__}-{s}-{n}" for n, (e, s, _) in enumerate(TABLE)]
)
def test_an_error_is_told_in_a_line_with_its_status(
    error: BaseException | None,
    status: int,
    said: str,
    program: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = ending(error, program, monkeypatch)
    assert main(["break"]) == status
    assert capsys.readouterr() == ("", said)
    assert main(["break", "--debug"]) == status
    shown = capsys.readouterr().err
    assert shown.endswith(said)
    assert ("Traceback" in shown) == (isinstance(error, Exception) and not isinstance(error, typer.Exit))
    assert "NoneType" not in shown
    main(["break"])
    assert "Traceback" not in capsys.readouterr().err  # it is asked for once


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "error: No such option: --nonsense. See {program} --help.\n"),
        (["nonsense"], "error: No such command 'nonsense'. See {program} --help.\n"),
    ],
)
def test_wrong_usage_names_the_help(
    arguments: list[str], said: str, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMANDS[program][1](arguments) == 2
    assert capsys.readouterr() == ("", said.format(program=program))


def test_without_a_command_there_is_help(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS[program][1]([]) == 2
    shown = capsys.readouterr()
    assert f"Usage: {program}" in shown.out
    assert shown.err == ""


def test_a_reporter_tells_an_error_in_its_own_way() -> None:
    told: list[str] = []
    with pytest.raises(typer.Exit) as ended, telling(told.append):
        raise UsageError("it cannot be")
    assert (told, ended.value.exit_code) == (["it cannot be"], 2)
    with pytest.raises(CancelledError), telling(told.append):
        raise CancelledError("Stopped.")
