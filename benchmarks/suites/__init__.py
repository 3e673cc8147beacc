"""The suites: what is asked of the variants and what is taken from their answers, one suite a file."""

from typing import Protocol

from benchmarks.run.session import Session
from benchmarks.run.workload import Workload
from benchmarks.suites import latency, load, memory, quality, throughput


class Suite(Protocol):
    """A module with these two functions."""

    def steps(self, workload: Workload) -> int:
        """Steps a variant, for the progress bar."""

    def measure(self, bench: Session) -> None:
        """Measure all variants into `bench.record`."""


SUITES: dict[str, Suite] = {
    "latency": latency,
    "memory": memory,
    "quality": quality,
    "load": load,
    "throughput": throughput,
}
