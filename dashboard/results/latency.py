"""Times and rates of a run for the Latency page: token times, and the floor that memory bandwidth sets."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import pandas as pd

from benchmarks.measure import wording
from dashboard.results import results

ENDS = ["value", "low", "high"]


def scaled(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Values and intervals in the most readable unit, and this unit. `rows` has at least one row, and one metric."""
    factor, unit = wording.size(rows["value"].max(), rows["unit"].iloc[0])
    return rows.assign(**{name: rows[name].astype(float) * factor for name in ENDS}), unit


def quantiles(rows: pd.DataFrame) -> pd.DataFrame:
    """The quantiles of the times between tokens, lowest first, with `group`: p50, p95, p99."""
    part = rows[rows["metric"] == "decode_latency"]
    part = part.assign(order=pd.to_numeric(results.param(part, "quantile"), errors="coerce")).dropna(subset="order")
    part = part.sort_values("order", kind="stable")
    return part.assign(group=[wording.words({"quantile": quantile}) for quantile in part["order"]])


def token_times(samples: pd.DataFrame, prompt: int) -> tuple[dict[str, list[float]], str]:
    """All times between tokens of each variant after prompts of one length, and their unit."""
    part = samples[results.count(samples, "prompt_tokens") == prompt]
    times = {str(variant): list(chain(*found)) for variant, found in part.groupby("variant", sort=False)["values"]}
    times = {variant: found for variant, found in times.items() if found}
    factor, unit = wording.size(max(map(max, times.values()), default=0.0), "s/token")
    return {variant: [factor * time for time in found] for variant, found in times.items()}, unit


def bandwidth(run: Mapping[str, Any]) -> float | None:
    """The bandwidth of the device's memory in bytes/s, if the run measured it."""
    found = run["machine"].get("device", {}).get("bandwidth")
    return float(found) if _is_size(found) else None


def floors(run: Mapping[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
    """The speed of variants relative to reading their weights once per token at full memory bandwidth, with the
    shortest prompt.

    For each variant with known decode rate and weights: value, low, high (shares of that speed), `least` (s/token).
    """
    speed, weights = bandwidth(run), run["settings"].get("weights", {})
    rates = rows[rows["metric"] == "decode_rate"]
    rates = rates[rates["prompt"] == rates["prompt"].min()]
    known = [variant for variant, size in weights.items() if _is_size(size)] if speed else []
    rates = rates[rates["variant"].isin(known)]
    least = rates["variant"].map({variant: weights[variant] / speed for variant in known}).astype(float)
    shares = {name: rates[name].astype(float) * least for name in ENDS}
    return rates.assign(group=rates["variant"], least=least, **shares)


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and value > 0
