"""Finished runs in the store of the test's home."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure.measurement import METRICS, Measurement
from benchmarks.run.record import Record
from benchmarks.store.run import Run
from benchmarks.store.store import Store


@contextmanager
def recorded(run: Run, status: Any = "done") -> Iterator[Record]:
    """A record whose samples are stored, and the run finished, at the end of the block."""
    kept = Store()
    kept.start_run(run)
    yield (record := Record(run, kept))
    record.save(everything=True)
    if status != "running":
        kept.finish(run.id, status)
    kept.close()


def keep(run: Run, *rows: tuple[Any, ...], device: str = "cpu", status: Any = "done") -> Run:
    """Store a run with measurements: of each the variant, the metric, the params and the value; if wanted also the
    number of repeats and the interval.
    """
    with recorded(run, status):
        more(run, *rows, device=device)
    return run


def more(run: Run, *rows: tuple[Any, ...], device: str = "cpu") -> None:
    """Store measurements of a stored run, as `keep` does."""
    kept = Store()
    for variant, metric, params, value, *others in rows:
        unit = METRICS[metric].unit
        kept.add([Measurement(run.id, run.model, variant, device, metric, params, value, unit, *others)])
    kept.close()
