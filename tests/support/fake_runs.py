"""Runs on fake hosts, with a reporter and a store that keep everything they receive."""

from typing import Any

from fake_hosts import FakeMachine, FakeTokenizer

from benchmarks.execution.runner import execute, prepare
from benchmarks.measure.graded_answer import Graded
from benchmarks.measure.measurement import Measurement, Sample
from benchmarks.run.questions import Question
from benchmarks.run.record import Result
from benchmarks.run.workload import Workload
from benchmarks.store.run import Run
from fastglm.demo.skills import SKILLS
from fastglm.errors import FastGLMError
from fastglm.text_files import Text

WORKLOAD = Workload((8, 24), 6, 4)
QUESTIONS = [
    Question(
        {"skill": "capital", "split": "new phrasing", "language": "en"}, Text([], "Of France?", "Paris"), SKILLS[0]
    ),
    Question({"texts": "own.jsonl"}, Text([("Hi", "Hello")], "And you?", "Fine")),
]


def silent(_progress: object) -> None: ...


class Silent:
    """A reporter that keeps everything it receives."""

    def __init__(self, stop_at: int = -1) -> None:
        self.steps, self.planned, self.stop_at = 0, 0, stop_at
        self.warnings: list[str] = []
        self.estimates: list[tuple[float, int, int]] = []

    def run(self, run: str) -> None: ...

    def plan(self, steps: int) -> None:
        self.planned = steps

    def estimate(self, each: float, least: int, most: int) -> None:
        self.estimates.append((each, least, most))

    def at(self, stage: str, part: float = 0.0) -> None: ...

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.stop_at:
            raise KeyboardInterrupt

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def done(self, run: str, status: str) -> None: ...

    def error(self, message: str) -> None: ...


class Notebook:
    """A store in memory; `broken` while it is locked."""

    def __init__(self) -> None:
        self.broken = False
        self.rows: list[Measurement] = []
        self.samples: list[Sample] = []
        self.answers: list[Graded] = []
        self.status = ""
        self.settings: dict[str, Any] = {}

    def start_run(self, run: Run) -> None: ...

    def note(self, run: str, settings: dict[str, Any]) -> None:
        self._check()
        self.settings = settings

    def add(self, measurements: list[Measurement]) -> None:
        self._check()
        self.rows.extend(measurements)

    def add_samples(self, run: str, samples: list[Sample]) -> None:
        self._check()
        self.samples.extend(samples)

    def add_answers(self, run: str, answers: list[Graded]) -> None:
        self._check()
        self.answers.extend(answers)

    def finish(self, run: str, status: str, error: str | None = None) -> None:
        self._check()
        self.status = status

    def _check(self) -> None:
        if self.broken:
            raise FastGLMError("the results database is locked")


def run_suites(
    machine: FakeMachine,
    variants: tuple[str, ...] = ("original", "int4"),
    suites: tuple[str, ...] = ("latency",),
    reporter: Silent | None = None,
    store: Any = None,
    workload: Workload = WORKLOAD,
) -> Result:
    """Make a finished run."""
    run = Run("demo", variants, suites, {"device": "cpu"}, machine={}, code_version="test")
    prompts = prepare(workload, FakeTokenizer())
    return execute(run, workload, prompts, QUESTIONS, machine.load, store, reporter or Silent())  # type: ignore[arg-type]


def rows(result: Result, variant: str, metric: str, **params: Any) -> list[Measurement]:
    """The rows of a metric whose params include these."""
    return [
        row
        for row in result.measurements
        if (row.variant, row.metric) == (variant, metric) and params.items() <= dict(row.params).items()
    ]
