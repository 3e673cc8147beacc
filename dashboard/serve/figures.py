"""Live figures of a server, from its metrics."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fastglm.errors import HostError

SPAN = 10.0  # seconds over which a rate is taken

Buckets = Sequence[tuple[float, float]]  # upper bounds, and the numbers of values up to each


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures at one moment, by `time.monotonic`; memory in bytes."""

    at: float
    open: int  # answers that run or wait
    waiting: int  # those without a token
    most: int  # answers that may be open
    slots: int
    tokens: float  # of all answers so far
    ttft: Buckets
    memory: int | None


def read(text: str, at: float | None = None) -> Figures:
    """Read metrics in Prometheus' text format. Raises HostError for a text that lacks a figure."""
    from prometheus_client.parser import text_string_to_metric_families as families  # with the extra `serve` alone

    try:
        samples = [sample for family in families(text) for sample in family.samples]
        plain = {sample.name: sample.value for sample in samples if not sample.labels}
        return Figures(
            time.monotonic() if at is None else at,
            *(
                int(plain[f"fastglm_{name}"])
                for name in ("open_answers", "waiting_answers", "most_open_answers", "slots")
            ),
            tokens=plain["fastglm_answer_tokens_total"],
            ttft=[(float(s.labels["le"]), s.value) for s in samples if s.name == "fastglm_ttft_seconds_bucket"],
            memory=next((int(s.value) for s in samples if s.labels.get("kind") == "current"), None),
        )
    except (ValueError, KeyError) as error:
        raise HostError("The server's figures cannot be read: it is of another version.") from error


def rate(earlier: Sequence[Figures], now: Figures) -> float | None:
    """Tokens per second since the oldest of the earlier figures; None without one, or after a new start."""
    if not earlier or now.tokens < earlier[0].tokens or now.at <= earlier[0].at:
        return None
    return (now.tokens - earlier[0].tokens) / (now.at - earlier[0].at)


def quantile(buckets: Buckets, share: float) -> float | None:
    """The value below which a share of all values lies, interpolated in its bucket; None if there are none."""
    wanted = share * buckets[-1][1] if buckets else 0.0
    if not wanted:
        return None
    below, before = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            return below if math.isinf(bound) else below + (bound - below) * (wanted - before) / (count - before)
        below, before = bound, count
    return below
