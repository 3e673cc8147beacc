"""A refused command of `python -m benchmarks`."""

from collections.abc import Sequence

import pytest

from benchmarks.cli.commands import main


def refuse(arguments: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that a command ends with status 2 and one line on stderr, which says this."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
