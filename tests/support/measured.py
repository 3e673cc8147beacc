"""A store with runs of random samples, for comparisons and reports."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.run.record import Record
from benchmarks.store.run import Run
from benchmarks.store.store import Store

SPEED = {"original": 0.010, "fast": 0.005, "int4": 0.0025}  # s/token


def measure(
    store: Store,
    variants: Sequence[str] = ("original", "int4"),
    *,
    seed: int = 0,
    repeats: int = 10,
    noise: float = 0.01,
    slower: float = 1.0,
    lengths: Sequence[int] = (32,),
    suites: Sequence[str] = ("latency", "memory"),
    failing: Mapping[str, str] = MappingProxyType({}),
    **changes: Any,
) -> Run:
    """Make a finished run: times with log-normal noise, `slower` times as long as `SPEED` says."""
    draw = np.random.default_rng(seed)
    facts = {
        "machine": {"node": "here", "cpu": "A processor", "memory": 8 * 10**9, "device": {"name": "A GPU"}},
        "versions": {"torch": "2.11"},
        "settings": {"repeats": repeats, "device": "cpu", "arrangement": {"latency": "interleaved"}},
        "code_version": "abc",
        "command": "python -m benchmarks run",
    }
    run = Run(changes.pop("model", "demo"), variants, suites, **(facts | changes))
    record = Record(run, store)
    store.start_run(run)
    for variant in variants:
        if variant in failing:
            record.fail(variant, {"suite": "latency", "kind": "HostError", "error": failing[variant]})
            continue
        speed = SPEED.get(variant, 0.01) * slower
        for length in lengths if "latency" in suites else ():
            params = {"prompt_tokens": length, "answer_tokens": 16}
            for repeat in range(repeats):
                mood = draw.lognormal(0, noise)
                first, gaps = speed * length * mood, speed * mood * draw.lognormal(0, 0.05, 15)
                record.add(variant, "ttft", params, repeat, first)
                record.add(variant, "prefill_rate", params, repeat, length / first)
                record.add(variant, "decode_rate", params, repeat, 1 / (speed * mood))
                record.add(variant, "decode_latency", params, repeat, *gaps)
        if "memory" in suites:
            record.add(variant, "weights_memory", {}, 0, 4e6 if variant == "int4" else 16e6)
            record.add(variant, "cache_memory", {"prompt_tokens": 32, "answer_tokens": 16}, 0, 1e6)
            record.add(variant, "peak_memory", {"during": "answer"}, 0, 40e6 + draw.normal())
    record.save(everything=True)
    store.finish(run.id, "done")
    return run
