"""`python -m benchmarks` on fake hosts: `python fake_benchmarks.py run …`, or a fork of the tests' own process."""

import sys
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import fake_hosts as fakes

from benchmarks.cli.commands import main
from benchmarks.execution import request


def begun(arguments: Sequence[str], said: Path) -> BaseProcess:
    """Start the command in a fork, which need not import everything again; its output goes into files, `said` and one
    with the ending `.err` beside it.
    """
    process = get_context("fork").Process(target=_run, args=(arguments, said))
    process.start()
    return process


def _run(arguments: Sequence[str], said: Path) -> None:
    with said.open("w", buffering=1) as out, said.with_suffix(".err").open("w", buffering=1) as err:
        sys.stdout, sys.stderr = out, err
        sys.exit(on_fakes(arguments))


def on_fakes(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    machine = fakes.FakeMachine()

    class Host:
        @staticmethod
        def start(model: str, variant: str, device: str, progress: Any, threads: int | None) -> fakes.FakeHost:
            return machine.load(variant, progress)

    request.Host = Host  # type: ignore[misc,assignment]
    request.read_subject = fakes.subject
    return main(arguments)


if __name__ == "__main__":
    sys.exit(on_fakes(sys.argv[1:]))
