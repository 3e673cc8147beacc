"""Hostile names, notes and files, as strangers may bring them into the app: made to load something from elsewhere or to
link there.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.exchange.exchange import import_runs
from benchmarks.jobs.jobs import Jobs
from benchmarks.store.store import Store
from dashboard.session.state import Conversation, Figures, Round

# Short ones, because names have few letters: each is a different attack.
EVIL = [
    "![i](http://127.0.0.1:9/i.png)",
    "[l](http://127.0.0.1:9/l)",
    "<img src=http://127.0.0.1:9/h.png>",
    "<a href=http://127.0.0.1:9/a>a</a>",
    "http://127.0.0.1:9/u www.evil.example me@evil.example",
    "$x^2$ :red[r] :material/home: :smile: `c` **b** _i_",
]
ALL = " ".join(EVIL)
BLOCKS = f"""{ALL}

# {ALL}

- {ALL}
  ```mermaid
  graph TD; A@{{ img: "http://127.0.0.1:9/m.png" }}
  ```

| {EVIL[0]} | {EVIL[1]} |
|---|---|
| {EVIL[2]} | {EVIL[4]} |

[r]: http://127.0.0.1:9/r

![r] [r]

```mermaid
graph TD; A[x]; click A "http://127.0.0.1:9/k"
```
"""


def fill(home: Path, golden: Path) -> None:
    """Put hostile content where the app finds it; `FASTGLM_HOME` is `home`."""
    models = home / "models"
    for name in (*(evil.replace("/", "∕") for evil in EVIL), "plain"):
        shutil.copytree(golden, models / name[:60])
        (models / name[:60] / "fastglm.json").write_text(json.dumps(_record()))
    runs = home / "runs.json"
    data = [_run(number, model) for number, model in enumerate(["demo", "demo", ALL, str(models / "plain")])]
    runs.write_text(json.dumps({"format": "fastglm-results", "version": 2, "runs": data}))
    store = Store()
    assert len(import_runs(store, runs).new) == len(data)
    queue = Jobs(store)
    job = queue.add(["-m", "benchmarks", "run", "--model", ALL, "--suite", ALL])
    queue.finish(job, "failed", ALL)
    store.close()


def conversation() -> str:
    """A file that the chat accepts."""
    figures = Figures(3, 0.1, 20.0, 1000, stop="eos")
    rounds = [Round(ALL, BLOCKS, ALL, EVIL[0], figures), Round(BLOCKS, "", ALL, EVIL[0], None, ALL)]
    return Conversation(rounds, ALL, EVIL[0]).dumps()


def _record() -> dict[str, Any]:
    sizes = {"parameters": 1000, "bytes": 1000}
    scores = {"loss": 1.0, "perplexity": 2.0}
    return {
        "parents": [{"model": ALL}],
        "recipe": {"name": ALL},
        "sizes": {"before": sizes, "after": sizes},
        "scores": {"before": scores, "after": scores},
        "steps": [{"step": ALL, "size": sizes, "seconds": 1.0, "scores": scores}],
    }


def _run(number: int, model: str) -> dict[str, Any]:
    started = f"2026-01-0{number + 1}T00:00:00Z"
    common = {"model": model[:1000], "device": EVIL[3][:100]}
    measured = [
        {**common, "variant": variant, "metric": metric, "params": params, "value": 0.5 + number / 10 + place / 50}
        | {"unit": unit, "n": 3, "low": 0.4, "high": 2.0}
        for place, variant in enumerate(["original", *EVIL])
        for metric, unit, params in _METRICS
    ]
    measured.append(
        {**common, "variant": EVIL[2], "metric": "failure", "params": {"error": ALL[:300], "suite": "latency"}}
        | {"value": 0.0, "unit": "", "n": 0, "low": None, "high": None}
    )
    samples = [
        {
            "variant": variant,
            "metric": "decode_latency",
            "params": {"prompt_tokens": 32},
            "repeat": 0,
            "values": [0.1, 0.2],
        }
        for variant in ("original", *EVIL)
    ]
    answers = [
        {"variant": variant, "number": 0, "labels": {"skill": EVIL[0]}, "history": [[ALL, ALL]], "question": ALL}
        | {"expected": ALL, "answer": BLOCKS if variant == "original" else ALL, "right": variant == "original"}
        | {"tokens": 3, "nats": 0.5, "kl": 0.1, "agreed": 2}
        for variant in ("original", *EVIL)
    ]
    return {
        "id": f"evil-{number}",
        "started": started,
        "finished": started,
        "status": "done",
        "error": ALL,
        "command": ALL,
        "model": model,
        "variants": ["original", *EVIL],
        "suites": ["latency", "memory", "quality", *EVIL],
        "settings": {
            "texts": f"/x/{EVIL[5]}",
            "repeats": 2,
            "streamed": {EVIL[0]: EVIL[1]},
            "weights": dict.fromkeys(EVIL, 1000),
            EVIL[0]: ALL,
        },
        "machine": {"node": EVIL[0], "cpu": ALL, "device": {"name": EVIL[1], "bandwidth": 1e9, "memory_total": 10**9}},
        "versions": {EVIL[0]: ALL},
        "code_version": f"{number} {EVIL[3]}",
        "measurements": measured,
        "samples": samples,
        "answers": answers,
    }


_TOKENS = {"prompt_tokens": 32, "answer_tokens": 64}
_METRICS: list[tuple[str, str, dict[str, Any]]] = [
    ("decode_rate", "<a href=//a.b>t</a>", _TOKENS),
    ("prefill_rate", "tokens/s", _TOKENS),
    ("ttft", "s", _TOKENS),
    ("ttft", "s", _TOKENS | {"prompt_tokens": 64}),
    ("decode_rate_ratio", "×", _TOKENS | {"baseline": EVIL[0]}),
    ("ttft_ratio", "×", _TOKENS | {"baseline": EVIL[1]}),
    ("decode_latency", "s/token", _TOKENS | {"quantile": 0.5}),
    ("throughput", "tokens/s", _TOKENS | {"batch": 2}),
    ("weights_memory", "bytes", {}),
    ("cache_memory", "bytes", _TOKENS),
    ("peak_memory", "bytes", _TOKENS | {"during": "answer"}),
    ("skill_accuracy", "fraction", {}),
    ("skill_accuracy", "fraction", {"skill": EVIL[2]}),
    ("perplexity", "", {}),
    ("kl_divergence", "nats/token", {}),
    ("top1_agreement", "fraction", {}),
    (EVIL[0], EVIL[5][:20], {EVIL[1]: EVIL[2]}),
]
