"""A run by its id, or by a beginning of it that no other run has, and what it measured."""

from math import isnan
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.measure.measurement import Measurement
from fastglm.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.store.store import Store

SHOWN = 3  # runs that a beginning could mean, in the message


def find_run(runs: pd.DataFrame, text: str) -> dict[str, Any]:
    """The row of `Store.runs()` that `text` names. Raises `UsageError` where none or several begin so."""
    rows = runs[runs["id"].str.startswith(text)].to_dict("records") if text else []
    exact = [row for row in rows if row["id"] == text]
    if not rows:
        raise UsageError(f"there is no run {text!r}: `python -m benchmarks list` shows them")
    if len(rows) > 1 and not exact:
        some = ", ".join(row["id"] for row in rows[:SHOWN]) + (", …" if len(rows) > SHOWN else "")
        raise UsageError(f"{len(rows)} runs begin with {text!r} ({some}): give more of the id")
    return {str(name): value for name, value in (exact or rows)[0].items()}


def measurements_of(store: "Store", run: str) -> list[Measurement]:
    """The rows of the run with this id. Raises `UsageError` where it measured nothing."""
    table = store.measurements([run])
    rows = [
        Measurement(**{str(name): _known(value) for name, value in row.items()}) for row in table.to_dict("records")
    ]
    if any(row.metric != "failure" for row in rows):
        return rows
    reasons = [str(row.params.get("error", "")) for row in rows]
    why = f" ({reasons[0]})" if reasons else ""
    raise UsageError(f"run {run} measured nothing{why}: choose another one, `python -m benchmarks list` shows them")


def _known(value: Any) -> Any:
    """None for the NaN that a table has where there is no interval."""
    return None if isinstance(value, float) and isnan(value) else value
