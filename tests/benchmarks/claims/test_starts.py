"""The claim about starts: its times, and the error of a process that fails."""

import pytest

from benchmarks.claims import starts
from benchmarks.run.progress import BarReporter
from fastglm.errors import FastGLMError


def test_starts_are_timed_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*arguments: str) -> str:
        ran.append(arguments)
        return "a line\n3.5\n"

    monkeypatch.setattr(starts, "_run", run)
    command, page, package = starts.promise(BarReporter(), repeats=2)
    assert ran == 2 * [("-m", "fastglm", "--help"), ("-c", starts.PAGE), ("-c", "import fastglm")]
    assert (command.kept, page.kept, package.kept) == (True, False, None)
    assert (page.value, page.n) == (3.5, 2)


def test_a_process_that_fails_is_told() -> None:
    with pytest.raises(FastGLMError, match=r"status 1: (.|\n)*ZeroDivisionError"):
        starts._run("-c", "1 / 0")
