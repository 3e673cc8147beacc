"""The facts of a benchmark execution, before and during its measurements."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import psutil

from benchmarks.environment.machine import code_version, command, machine, versions

Status = Literal[
    "running", "done", "failed", "cancelled", "interrupted"
]  # interrupted: its process ended without a message


@dataclass(frozen=True, slots=True)
class Run:
    """Author, content, time, place and code version of a run. `settings` grows during the run."""

    model: str
    variants: Sequence[str]
    suites: Sequence[str]
    settings: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    command: str = field(default_factory=command)
    machine: Mapping[str, Any] = field(default_factory=machine)
    versions: Mapping[str, str] = field(default_factory=versions)
    code_version: str = field(default_factory=code_version)
    pid: int = field(default_factory=os.getpid)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"started": self.started.isoformat(timespec="seconds")}


def still_runs(pid: int, started: datetime) -> bool:
    """Tell whether the process `pid` of this machine is the one that began a run at that time (numbers are reused)."""
    try:
        return psutil.Process(pid).create_time() <= started.timestamp() + 1
    except psutil.Error:
        return False
