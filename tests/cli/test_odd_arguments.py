"""Arguments of any length and kind, in both command lines: one line and an exit status, at once."""

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from benchmarks.cli.commands import main as benchmarks
from fastglm.cli.commands import main as fastglm

NUMBERS = ["9" * 5000, "-1", "1e400", "nan", "1" + "0" * 30, ""]
NOWHERE = ["--model", "nowhere"]  # valid for the option, refused here
RUN = ["run", *NOWHERE, "--store", "none"]
COMMANDS = {
    fastglm: [
        *([["chat", *NOWHERE, option] for option in ("--max-length", "--top-p", "--temperature", "--seed")]),
        ["evaluate", *NOWHERE, "--questions"],
        ["train", "demo", "--out", "/proc/x", "--steps"],
        ["train", "demo", "--out", "/proc/x", "--seed"],
    ],
    benchmarks: [
        *([*RUN, f"--{name}"] for name in ("prompt-tokens", "answer-tokens", "precision", "budget", "repeats")),
        *([*RUN, f"--{name}"] for name in ("batches", "questions", "threads", "device")),
        ["compare", "a", "b", "--threshold"],
    ],
}
ODD = [(main, command, number) for main, commands in COMMANDS.items() for command, number in product(commands, NUMBERS)]
Main = Callable[[list[str]], int]


def refused(main: Main, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of a command."""
    status = main(arguments)
    line = capsys.readouterr().err.strip()
    assert status in (1, 2), arguments
    assert line, arguments
    assert "\n" not in line, line[:2000]
    assert len(line) < 1100
    assert "--debug shows" not in line, line
    return line


def test_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for main, command, number in ODD:
        refused(main, [*command, number], capsys)


@pytest.mark.parametrize("out", ["/", ".", "..", "/dev/null", "/dev/zero", "/etc/passwd/x", "a" * 300, "/b" * 3000])
def test_places_to_write(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(fastglm, ["compress", "--recipe", "int8", "--out", out], capsys)
    refused(benchmarks, [*RUN, "--json", out], capsys)
    refused(benchmarks, ["export", out], capsys)
    refused(benchmarks, ["report", "x", "--out", out], capsys)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_files_to_read(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("yaml", "json"):
        file = tmp_path / f"odd.{suffix}"
        {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](file)
    recipe, results = str(tmp_path / "odd.yaml"), str(tmp_path / "odd.json")
    out = str(tmp_path / "out")
    refused(fastglm, ["compress", "--out", out, "--recipe", recipe], capsys)
    refused(fastglm, ["compress", "--out", out, "--recipe", "int4", "--texts", recipe], capsys)
    refused(fastglm, ["chat", "--model", recipe], capsys)
    refused(benchmarks, ["import", results], capsys)
    refused(benchmarks, ["reference", "import", results], capsys)
    refused(benchmarks, ["run", "--suite", "quality", "--texts", results, "--store", "none"], capsys)
    assert not Path(out).exists()


def test_a_long_name_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    assert " … " in refused(fastglm, ["chat", "--model", "demo", "--variant", "x" * 5000], capsys)
