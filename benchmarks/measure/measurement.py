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
    """Unit and meaning of a metric, and its better direction."""

    unit: str
    meaning: str
    better: Literal["higher", "lower"]


METRICS: dict[str, Metric] = {
    "ttft": Metric("s", "from request to first token (the prompt is sent as token ids)", "lower"),
    "prefill_rate": Metric("tokens/s", "prompt tokens over the time to the first token", "higher"),
    "decode_latency": Metric("s/token", "time between tokens after the first, a quantile of it", "lower"),
    "decode_rate": Metric("tokens/s", "new tokens after the first over their time, one sequence", "higher"),
    "acceptance": Metric("fraction", "drafted tokens of an answer that were kept, in speculative decoding", "higher"),
    "throughput": Metric(
        "tokens/s", "new tokens of all sequences of a batch over wall time, prompts included", "higher"
    ),
    "energy": Metric("J/token", "energy of the processors or the GPU over an answer, all that runs included", "lower"),
    "load_time": Metric("s", "from the call that loads to ready to answer", "lower"),
    "disk_size": Metric("bytes", "the files that the variant is loaded from", "lower"),
    "weights_memory": Metric("bytes", "device memory of the weights, computed", "lower"),
    "cache_memory": Metric("bytes", "device memory of the KV cache at the end of an answer, computed", "lower"),
    "peak_memory": Metric("bytes", "peak of the isolated process: allocator on GPUs, resident memory on CPUs", "lower"),
    "decode_rate_ratio": Metric("×", "decode_rate over the baseline's, pair by pair: above 1 is faster", "higher"),
    "ttft_ratio": Metric("×", "ttft over the baseline's, pair by pair: below 1 is faster", "lower"),
    "throughput_ratio": Metric("×", "throughput over the baseline's, pair by pair: above 1 is faster", "higher"),
    "skill_accuracy": Metric("fraction", "right answers to questions held out of training, greedy", "higher"),
    "perplexity": Metric("", "exp of the mean cross-entropy a token of the expected answers", "lower"),
    "bits_per_byte": Metric("bits/byte", "cross-entropy a UTF-8 byte of the expected answers", "lower"),
    "kl_divergence": Metric(
        "nats/token", "KL(original ‖ variant) a token of the expected answers: mean, p99 and largest", "lower"
    ),
    "top1_agreement": Metric("fraction", "tokens of the expected answers with the original's likeliest", "higher"),
    "failure": Metric("", "the variant could not be measured; params say where and why", "lower"),
}


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
