"""Find a run by its id or an unambiguous beginning of the id, and its measurements."""

from math import isnan
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.measure.measurement import Measurement
from fastglm.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.store.store import Store

SHOWN = 3  # runs that the message lists when a beginning is ambiguous


def find_run(runs: pd.DataFrame, text: str) -> dict[str, Any]:
    """Find the row of `Store.runs()` that `text` names. Raises `UsageError` if there is none or more than one."""
    rows = runs[runs["id"].str.startswith(text)].to_dict("records") if text else []
    exact = [row for row in rows if row["id"] == text]
    if not rows:
        raise UsageError(f"there is no run {text!r}: `python -m benchmarks list` shows them")
    if len(rows) > 1 and not exact:
        some = ", ".join(row["id"] for row in rows[:SHOWN]) + (", …" if len(rows) > SHOWN else "")
        raise UsageError(f"{len(rows)} runs begin with {text!r} ({some}): give more of the id")
    return {str(name): value for name, value in (exact or rows)[0].items()}


def measurements_of(store: "Store", run: str) -> list[Measurement]:
    """The measurements of a run. Raises `UsageError` if it has none."""
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
    """Replace NaN, which a table has for a missing interval, by None."""
    return None if isinstance(value, float) and isnan(value) else value
