"""`python -m benchmarks` on fake hosts: `python fake_benchmarks.py run …`, for tests that need a separate process."""

import sys
from typing import Any

import fake_hosts as fakes

from benchmarks.cli.commands import main
from benchmarks.execution import request

machine = fakes.FakeMachine()


class Host:
    @staticmethod
    def start(model: str, variant: str, device: str, progress: Any, threads: int | None) -> fakes.FakeHost:
        return machine.load(variant, progress)


request.Host = Host  # type: ignore[misc,assignment]
request.read_subject = fakes.subject
sys.exit(main())
