"""The suites, one per file: each asks the variants something and measures their answers."""

from typing import Protocol

from benchmarks.run.session import Session
from benchmarks.run.workload import Workload
from benchmarks.suites import latency, load, memory, quality, serving, throughput


class Suite(Protocol):
    """A module with these two functions."""

    def steps(self, workload: Workload) -> int:
        """The number of steps per variant, for the progress bar."""

    def measure(self, bench: Session) -> None:
        """Measure all variants into `bench.record`."""


SUITES: dict[str, Suite] = {
    "latency": latency,
    "memory": memory,
    "quality": quality,
    "load": load,
    "throughput": throughput,
    "serving": serving,
}
