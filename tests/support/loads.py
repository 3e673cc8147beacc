"""Stored runs of servers under load, with times made by a rule."""

from itertools import product
from typing import Any

import numpy as np
from stored import recorded

from benchmarks.measure.statistics import Estimate
from benchmarks.store.run import Run

LOAD = {"prompts": "32", "answer_tokens": 64, "slo": "ttft=1s,tpot=100ms"}
REQUESTS = 20  # of a repeat


def loaded(
    variants: dict[str, float], clients: tuple[int, ...] = (1, 2, 4, 8), rates: tuple[float, ...] = (), **about: Any
) -> Run:
    """A stored run of servers. The time per token is `step` for one client and grows by a tenth for each further one; a
    first token takes as long as ten. The slowest request of 20 takes twice as long.

    Args:
        variants: the steps in seconds.
        about: settings, or `model`, `machine` and `status` of the run.
    """
    model, status = about.pop("model", "demo"), about.pop("status", "done")
    machine = {"machine": about.pop("machine", {"node": "here", "cpu": "a CPU"})}
    run = Run(model, tuple(variants), ("serving",), {**LOAD, **about}, **machine)
    with recorded(run, status) as record:
        for variant, step in variants.items():
            record.devices[variant] = "cpu"
            for level, repeat in product([("clients", n) for n in clients] + [("rate", n) for n in rates], range(2)):
                params: dict[str, Any] = {level[0]: level[1], "prompts": "32", "answer_tokens": 64}
                token = step * (0.9 + 0.1 * level[1])
                times = np.array([*[token] * (REQUESTS - 1), 2 * token])
                asked = level[1] / (74 * token) if level[0] == "clients" else level[1]
                figures = {
                    "throughput": [64 * asked],
                    "request_rate": [asked],
                    "error_share": [0.0],
                    "ttft": (10 * times).tolist(),
                    "time_per_token": times.tolist(),
                    "answer_time": (74 * times).tolist(),
                }
                for metric, values in figures.items():
                    record.add(variant, metric, params, repeat, *values)
                record.add(variant, "goodput", {**params, "slo": run.settings["slo"]}, repeat, asked)
            record.grade(variant, [], [("served_clients", dict(LOAD), Estimate(float(max(clients, default=0)), 2))])
    return run
