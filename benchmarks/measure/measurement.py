"""The vocabulary of measuring: the metrics, one raw sample, and the tidy row that a run reports."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

Param = str | int | float | bool
Params = Mapping[str, Param]


@dataclass(frozen=True, slots=True)
class Metric:
    """Unit of a metric, and its better direction; its meaning is a caption."""

    unit: str
    better: Literal["higher", "lower"]


METRICS: dict[str, Metric] = {
    "ttft": Metric("s", "lower"),
    "prefill_rate": Metric("tokens/s", "higher"),
    "decode_latency": Metric("s/token", "lower"),
    "decode_rate": Metric("tokens/s", "higher"),
    "acceptance": Metric("fraction", "higher"),
    "throughput": Metric("tokens/s", "higher"),
    "request_rate": Metric("requests/s", "higher"),
    "goodput": Metric("requests/s", "higher"),
    "time_per_token": Metric("s/token", "lower"),
    "answer_time": Metric("s", "lower"),
    "error_share": Metric("fraction", "lower"),
    "served_clients": Metric("clients", "higher"),
    "energy": Metric("J/token", "lower"),
    "load_time": Metric("s", "lower"),
    "disk_size": Metric("bytes", "lower"),
    "weights_memory": Metric("bytes", "lower"),
    "cache_memory": Metric("bytes", "lower"),
    "peak_memory": Metric("bytes", "lower"),
    "decode_rate_ratio": Metric("×", "higher"),
    "ttft_ratio": Metric("×", "lower"),
    "throughput_ratio": Metric("×", "higher"),
    "skill_accuracy": Metric("fraction", "higher"),
    "perplexity": Metric("", "lower"),
    "bits_per_byte": Metric("bits/byte", "lower"),
    "kl_divergence": Metric("nats/token", "lower"),
    "top1_agreement": Metric("fraction", "higher"),
    "failure": Metric("", "lower"),
}


def is_under_load(params: Params) -> bool:
    """Tell whether a figure is of a server under load, from a number of clients or a rate of arrivals."""
    return not {"clients", "rate"}.isdisjoint(params)


def shows_quantiles(metric: str, params: Params) -> bool:
    """Tell whether the rows of a metric are quantiles over tokens or requests, in place of a median of repeats."""
    return metric == "decode_latency" or (is_under_load(params) and METRICS[metric].unit in ("s", "s/token"))


def params_text(params: Params) -> str:
    """`params` as text; equal params give equal texts."""
    return json.dumps(dict(params), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Sample:
    """Result of one repeat: one value for each of its answers, or for `decode_latency` one for each token. Units:
    `METRICS`.
    """

    variant: str
    metric: str
    params: Params
    repeat: int
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median over the repeat's values."""
        return median(self.values)

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of samples that are summarized together."""
        return self.variant, self.metric, params_text(self.params)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One tidy row: one number of a run, with the number of repeats behind it and a 95 % interval."""

    run: str
    model: str
    variant: str
    device: str
    metric: str
    params: Params = field(default_factory=dict)
    value: float = 0.0
    unit: str = ""
    n: int = 1
    low: float | None = None  # None if one repeat cannot show the spread
    high: float | None = None
