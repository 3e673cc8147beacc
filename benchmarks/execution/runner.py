"""One run from beginning to end: suites in order; every result is stored at once, also when the run is cancelled or
breaks.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.run.progress import Reporter
from benchmarks.run.questions import Question
from benchmarks.run.record import Record, Result
from benchmarks.run.session import Loader, Serve, Session
from benchmarks.run.workload import Tokenizer, Workload, prompts
from benchmarks.store.run import Run, Status
from benchmarks.suites import SUITES
from fastglm.errors import FastGLMError

if TYPE_CHECKING:
    from benchmarks.store.store import Store  # imported late: needs SQLAlchemy, only to store results


def prepare(workload: Workload, tokenizer: Tokenizer) -> dict[int, list[list[int]]]:
    """The prompts of every length: one per repeat, and one for the warm-up. Raises `UsageError`."""
    return {length: prompts(tokenizer, length, workload.most + 1) for length in workload.prompt_tokens}


def execute(
    run: Run,
    workload: Workload,
    asked: dict[int, list[list[int]]],
    questions: Sequence[Question],
    load: Loader,
    store: "Store | None",
    reporter: Reporter,
    resumed: bool = False,
    server: Serve | None = None,
    beside: str | None = None,
    together: bool = False,
) -> Result:
    """Measure everything, or the part that the store lacks if `resumed`.

    SIGINT and SIGTERM end the run as `cancelled`, with its measurements kept; `failed` means that no variant could be
    measured. An error that breaks the run is raised after its measurements are kept. `beside` names servers on the same
    device, which disturb the run; `together` says that the suite serving runs its servers at the same time.
    """
    record = Record(run, store)
    if store and resumed:
        store.restart_run(run.id)
        record.restore(store)
    elif store:
        store.start_run(run)
    reporter.run(run.id)

    def note(settings: dict[str, Any]) -> None:
        if store:
            with waiting(record):
                store.note(run.id, settings)

    bench = Session(workload, asked, questions, load, record, reporter, note, server=server, together=together)
    if beside:
        bench.settle("noise", "beside", {"server": beside})
    status: Status = "failed"
    try:
        with stoppable():
            bench.plan(len(run.variants) * sum(SUITES[suite].steps(workload) for suite in run.suites))
            _measure(bench, run.suites)
        status = "done" if record.samples() or record.answers else "failed"
    except KeyboardInterrupt:
        status = "cancelled"
    finally:
        with unstoppable():
            bench.judge()
            record.save(everything=True)
            if store:
                with waiting(record):
                    store.finish(run.id, status, "; ".join(str(row.params["error"]) for row in record.failures) or None)
    return Result(run, status, record.measurements(), record.samples(), record.answers, record.trouble)


def _measure(bench: Session, suites: Sequence[str]) -> None:
    for suite in suites:
        bench.suite, bench.failed = suite, set()
        SUITES[suite].measure(bench)
        bench.record.save(everything=True)


@contextmanager
def waiting(record: Record) -> Iterator[None]:
    """A block in which an unwritable store does not end the run; it is reported at the end."""
    try:
        yield
    except FastGLMError as error:
        record.trouble = error


@contextmanager
def stoppable() -> Iterator[None]:
    """A block in which SIGINT and SIGTERM raise KeyboardInterrupt, even if the parent ignored them. SIGTERM becomes
    SIGINT, which an event loop handles by itself.
    """
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unstoppable() -> Iterator[None]:
    """A block in which a second Ctrl-C cannot lose the results that the first one kept."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
