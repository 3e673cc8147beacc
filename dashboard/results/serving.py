"""Servers under load for the page Serve: comparable runs, their levels, and figures within a visitor's limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.environment.run_facts import machine_name
from benchmarks.serving.figures import Figures, kept_levels, share_kept
from benchmarks.serving.limits import Limits
from benchmarks.serving.people import Pace, People, people
from dashboard.results import results
from fastglm.errors import UsageError

NO_ANSWER: Figures = {"ttft": [], "error_share": [1.0]}  # of a level that failed


@dataclass(slots=True)
class Loads:
    """The levels of load on one server: figures of every repeat, by number of clients and by rate of arrivals."""

    clients: dict[int, list[Figures]] = field(default_factory=dict)
    rates: dict[float, list[Figures]] = field(default_factory=dict)

    def most_clients(self, limits: Limits) -> int:
        """The largest measured number of clients within the limits; 0 if there is none."""
        return max(kept_levels(self.clients, limits), default=0)

    def people(self, pace: Pace, limits: Limits) -> People:
        """The people of a pace that this server has time for."""
        return people(self.clients, self.rates, pace, limits)


def comparable(runs: pd.DataFrame, run: pd.Series) -> list[str]:
    """Ids of the other runs that can stand in the same chart: servers on the same machine under the same load, of the
    same model or at an address, where models have other names.
    """
    conditions = _conditions(run)
    return [
        str(other["id"])
        for _, other in runs.iterrows()
        if other["id"] != run.name
        and "serving" in other["suites"]
        and _conditions(other) == conditions
        and (other["model"] == run["model"] or "endpoint" in {*other["settings"], *run["settings"]})
    ]


def _conditions(run: pd.Series) -> tuple[Any, ...]:
    return (machine_name(run["machine"]), *(run["settings"].get(name) for name in ("prompts", "answer_tokens")))


def named(rows: pd.DataFrame, runs: Mapping[str, str]) -> pd.DataFrame:
    """The rows of several runs, in the order of `runs`, under names that are different: a variant that an earlier run
    has too gets the title of its run.
    """
    taken: dict[str, str] = {}  # run by variant
    for run in runs:
        for variant in rows["variant"][rows["run"] == run].unique():
            taken.setdefault(variant, run)
    names = [
        variant if taken[variant] == run else f"{variant} · {runs[run]}"
        for variant, run in zip(rows["variant"], rows["run"], strict=True)
    ]
    order = rows["run"].map({run: number for number, run in enumerate(runs)})
    return rows.assign(variant=names, order=order).sort_values("order", kind="stable").drop(columns="order")


def loads(samples: pd.DataFrame, failures: pd.DataFrame) -> dict[str, Loads]:
    """The levels of every server, from samples and failures under the names of `named`."""
    repeats: dict[tuple[str, str, float, int], Figures] = {}
    found: dict[str, Loads] = {}
    for row in samples.to_dict("records"):
        if level := _level(row["params"]):
            figures = repeats.setdefault((row["variant"], *level, row["repeat"]), {"ttft": []})
            figures[row["metric"]] = list(row["values"])
    for (variant, kind, size, _), of_repeat in repeats.items():
        _levels(found, variant, kind).setdefault(size, []).append(of_repeat)
    for row in failures.to_dict("records"):
        if level := _level(row["params"]):
            _levels(found, row["variant"], level[0])[level[1]] = [NO_ANSWER]
    return found


def _levels(found: dict[str, Loads], variant: str, kind: str) -> dict[Any, list[Figures]]:
    of_server = found.setdefault(variant, Loads())
    return of_server.clients if kind == "clients" else of_server.rates


def _level(params: Mapping[str, Any]) -> tuple[str, float] | None:
    """Kind and size of a level; None for params of another kind, as an imported file may have them."""
    for kind in ("clients", "rate"):
        size = params.get(kind)
        if isinstance(size, int | float) and not isinstance(size, bool) and size > 0:
            return kind, size
    return None


def limits_of(run: pd.Series) -> Limits:
    """The limits that a run was measured with; the usual ones if it does not tell."""
    try:
        return Limits.read(str(run["settings"].get("slo", "")))
    except UsageError:
        return Limits()


def within(found: Mapping[str, Loads], limits: Limits) -> pd.DataFrame:
    """A row for each server and number of clients: throughput (tokens/s), ttft and time_per_token (95th percentiles),
    share of the answers within the limits, and goodput (such answers a second), None where single answers are unknown.
    """
    rows = [
        (variant, clients, *_figures(repeats, limits))
        for variant, of_server in found.items()
        for clients, repeats in sorted(of_server.clients.items())
        if repeats != [NO_ANSWER]
    ]
    columns = ["variant", "clients", "throughput", "ttft", "time_per_token", "share", "goodput"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def _figures(repeats: Sequence[Figures], limits: Limits) -> tuple[float | None, ...]:
    shares = [share_kept(repeat, limits) for repeat in repeats]
    known = [share for share in shares if share is not None]
    rates = [repeat.get("request_rate", [0.0])[0] for repeat in repeats]
    whole = len(known) == len(repeats)
    return (
        float(np.median([repeat.get("throughput", [0.0])[0] for repeat in repeats])),
        _p95(repeats, "ttft"),
        _p95(repeats, "time_per_token"),
        float(np.mean(known)) if whole else None,
        float(np.median(np.multiply(known, rates))) if whole else None,
    )


def _p95(repeats: Sequence[Figures], metric: str) -> float | None:
    values = [value for repeat in repeats for value in repeat.get(metric, [])]
    return float(np.quantile(values, 0.95)) if values else None


def answer_tokens(run: pd.Series) -> int:
    """Tokens of an answer of a run; the usual number if it does not tell."""
    found = run["settings"].get("answer_tokens")
    return found if isinstance(found, int) and found > 0 else 64


def title(run: pd.Series) -> str:
    """A short title of a run beside another one."""
    return f"{results.local_time(run['started']):%m-%d %H:%M}"
